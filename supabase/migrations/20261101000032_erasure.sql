-- Erasure: what the desk forgets when Auth deletes an account.
--
-- A deletion sets off the foreign keys: tickets and feedback lose their person, and a
-- trigger cleans the history. A soft deletion leaves the row of the account, so no foreign key
-- fires. One function does the rest for both.
--
-- It runs inside Auth's own transaction. It must never fail it, nor wait for long.

-- Removes deleted requesters from the history, old values included, for all their tickets at once.
-- It runs before the event of the removal is written: triggers of a statement fire by name. Mails
-- that wait, and dead letters, hold the address; a sender that has leased one settles nothing. The
-- search index has a trigger of its own, tickets_30_index_requester.
create function desk_private.forget_requesters() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (
    select from before b join after a using (id)
    where b.customer_id is not null and a.customer_id is null
  ) then
    return null;
  end if;
  update desk.ticket_events e
  set changes = desk_private.without_requester(e.changes),
    actor_id = nullif(e.actor_id, b.customer_id)
  from before b join after a using (id)
  where b.customer_id is not null and a.customer_id is null and e.ticket_id = b.id
    and (e.actor_id = b.customer_id
      or e.changes ?| '{customer_id,requester_name,requester_email,context}');
  update desk.ticket_messages m
  set author_id = null
  from before b join after a using (id)
  where b.customer_id is not null and a.customer_id is null and m.ticket_id = b.id
    and m.author_id = b.customer_id;
  update desk.escalation_requests r
  set requester_id = null
  from before b join after a using (id)
  where b.customer_id is not null and a.customer_id is null and r.ticket_id = b.id
    and r.requester_id = b.customer_id;
  delete from desk_private.outbox o
  using before b join after a using (id)
  where b.customer_id is not null and a.customer_id is null and o.ticket_id = b.id
    and o.channel = 'mail' and o.state <> 'done';
  return null;
end
$$;

create trigger tickets_20_forget_requesters after update on desk.support_tickets
  referencing old table as before new table as after
  for each statement execute function desk_private.forget_requesters();

create function desk_private.forget_person(person uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update desk.support_tickets t set customer_id = null where t.customer_id = person;
  update desk.user_feedback f set user_id = null where f.user_id = person;
  delete from desk.support_agents a where a.user_id = person;
  delete from desk.customer_branches b where b.customer_id = person;
  delete from desk.notifications n where n.user_id = person;
  delete from desk_private.transfers k where k.customer_id = person;
  delete from desk_private.quotas q where q.who = person::text;
  delete from desk_private.idempotency i where i.caller = person::text;
  -- One statement for each state: each has an index of its own.
  delete from desk_private.outbox o
  where o.ordering_key = 'digest:' || person and o.state = 'pending';
  delete from desk_private.outbox o
  where o.ordering_key = 'digest:' || person and o.kind = 'digest' and o.state = 'dead';
end
$$;

comment on function desk_private.forget_person is
  'Removes a person from the desk. Tickets stay, without name, address and account.';

create function desk_private.forget_account() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  perform desk_private.forget_person(old.id);
  return null;
exception when others then
  raise warning 'the desk did not forget a deleted account: %', sqlstate;
  return null;
end
$$;

-- Triggers of a row fire by name, so these come after those of the foreign keys.
create trigger supadesk_forget_deleted after delete on auth.users
  for each row execute function desk_private.forget_account();

create trigger supadesk_forget_softly_deleted after update of deleted_at on auth.users
  for each row when (old.deleted_at is null and new.deleted_at is not null)
  execute function desk_private.forget_account();

revoke execute on all functions in schema desk_private from public;
