-- Events: the complete, replayable history of a ticket.
--
-- A trigger writes them, so every change leaves its event, in its own transaction. `changes` holds
-- {column: [old, new]}; replaying the events of a ticket in order of seq yields its row.
--
-- Flags of a transaction, set with set_config(…, is_local => true) and cleared by their writer:
--
--   supadesk.actor  the actor of events, instead of the caller's role
--     read by    actor_on, reply_automatically, release_tickets
--     written by reply_automatically, change_ticket, sweep, apply_linear, release_tickets
--   supadesk.quiet  'on': no mail to the requester of a changed ticket
--     read by    is_quiet
--     written by change_ticket

create table desk.ticket_events (
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  seq integer not null,
  type text not null check (type ~ '^[a-z_]{1,40}$'),
  actor text not null check (actor in ('customer', 'agent', 'ai', 'system')),
  actor_id uuid,
  changes jsonb not null,
  created_at timestamptz not null default now(),
  primary key (ticket_id, seq)
);

alter table desk.ticket_events enable row level security;

comment on table desk.ticket_events is
  'For agents. get_ticket derives a customer''s timeline, without notes and assignments.';
comment on column desk.ticket_events.changes is
  '{column: [old, new]}; for "rated" {"rating": [null, 4]}; empty for "noted".';

create policy select_as_agent on desk.ticket_events for select to authenticated
  using (exists (
    select from desk.support_tickets t
    where t.id = ticket_id
      and ((select desk_private.is_unbound_agent())
        or t.branch_id = (select desk_private.agent_branch()))
  ));

revoke all on desk.ticket_events from public, anon, authenticated, service_role;
grant select on desk.ticket_events to authenticated, service_role;

-- The actor of an event: the session flag if it is set, else derived from the claims.
create function desk_private.actor_on(customer_id uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  return coalesce(
    nullif(current_setting('supadesk.actor', true), ''),
    case
      when desk_private.is_service() then 'system'
      when actor_on.customer_id = desk_private.caller() then 'customer'
      when desk_private.is_agent() then 'agent'
      else 'customer'
    end
  );
end
$$;

create function desk_private.event_type(changes jsonb) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when changes ? 'ticket_number' then 'created'
    when changes ? 'deleted_at' then 'deleted'
    when changes ? 'status' then 'status_changed'
    when changes ? 'assigned_to' then 'assigned'
    when changes ? 'priority' then 'priority_changed'
    when changes ? 'escalated' then 'escalated'
    when changes ? 'category' then 'category_changed'
    when changes ? 'last_response_at' then 'replied'
    else 'updated'
  end;
end
$$;

-- The writer of an event holds the lock of the ticket's row, so seq has no gaps and no ties.
create function desk_private.record_event(
  ticket_id uuid, kind text, actor text, changes jsonb default '{}'
) returns void
language sql security definer set search_path = '' as $$
  insert into desk.ticket_events (ticket_id, seq, type, actor, actor_id, changes)
  select record_event.ticket_id,
    coalesce(
      (select max(e.seq) from desk.ticket_events e where e.ticket_id = record_event.ticket_id),
      0) + 1,
    kind, record_event.actor, desk_private.caller(), record_event.changes
$$;

create function desk_private.without_requester(changes jsonb) returns jsonb
language sql immutable set search_path = '' as $$
  select changes - 'customer_id' - 'requester_name' - 'requester_email' || case
    when changes ? 'context' then jsonb_build_object('context', jsonb_build_array(
      null, (changes -> 'context' -> 1) - 'reporter_name' - 'reporter_email'))
    else '{}'
  end
$$;

create function desk_private.record_created() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into desk.ticket_events (ticket_id, seq, type, actor, actor_id, changes)
  select new.id, 1, 'created', desk_private.actor_on(new.customer_id), desk_private.caller(),
    jsonb_object_agg(f.key, jsonb_build_array(null, f.value))
  from jsonb_each(to_jsonb(new)) as f
  where f.value <> 'null';
  return null;
end
$$;

-- Set-based: a sweep over a thousand tickets writes its events in one statement. The plan is cached
-- after the first change of a connection, usually of one row. Without nested loops that plan also
-- serves a thousand rows. `offset 0` is an optimisation fence: the diff is computed once, not once
-- per reference.
create function desk_private.record_changed() returns trigger
language plpgsql security definer set search_path = '' set enable_nestloop = off as $$
begin
  insert into desk.ticket_events (ticket_id, seq, type, actor, actor_id, changes)
  select d.id,
    coalesce((select max(e.seq) from desk.ticket_events e where e.ticket_id = d.id), 0) + 1,
    case when d.loses_requester then 'requester_removed'
      else desk_private.event_type(d.changes) end,
    desk_private.actor_on(d.customer_id), desk_private.caller(),
    case when d.loses_requester then desk_private.without_requester(d.changes) else d.changes end
  from (
    select r.id, r.customer_id, r.loses_requester, (
      select jsonb_object_agg(f.key, jsonb_build_array(r.earlier -> f.key, f.value))
      from jsonb_each(r.later) as f
      where f.value <> r.earlier -> f.key
    ) as changes
    from (
      select new_row.id, new_row.customer_id,
        old_row.customer_id is not null and new_row.customer_id is null as loses_requester,
        to_jsonb(old_row) as earlier, to_jsonb(new_row) as later
      from before as old_row join after as new_row using (id)
      offset 0
    ) as r
    offset 0
  ) as d
  where d.changes is not null;
  return null;
end
$$;

create trigger tickets_20_record_created after insert on desk.support_tickets
  for each row execute function desk_private.record_created();

create trigger tickets_20_record_changed after update on desk.support_tickets
  referencing old table as before new table as after
  for each statement execute function desk_private.record_changed();

create function desk_private.replay_ticket(ticket_id uuid) returns desk.support_tickets
language sql stable set search_path = '' as $$
  select jsonb_populate_record(
    null::desk.support_tickets,
    (
      select jsonb_object_agg(c.key, c.value -> 1 order by e.seq)
      from desk.ticket_events e, jsonb_each(e.changes) c
      where e.ticket_id = replay_ticket.ticket_id
    )
  )
$$;

comment on function desk_private.replay_ticket is
  'The row that the events of a ticket add up to; equals the row itself.';

revoke execute on all functions in schema desk_private from public;
