-- Linear, on the way out: one issue per ticket of a category that names a team, and what follows to
-- it.
--
-- A ticket's id is its issue's id, and a message's id its comment's, so a repeated send creates
-- nothing twice. Everything goes through the outbox in the order of its ticket: first the issue,
-- then the link back, comments, states.

-- All forwarders share one row: the end of Linear's rate limit, and the time up to which changes
-- are known.
create table desk_private.linear_sync (
  only_row boolean primary key default true check (only_row),
  paused_until timestamptz not null default '-infinity',
  polled_at timestamptz not null default '-infinity',
  known_until timestamptz not null default now()
);

insert into desk_private.linear_sync default values;

-- The type of state that a ticket's issue should be in. A ticket that was closed without being
-- resolved cancels its issue.
create function desk_private.linear_target_state(t desk.support_tickets) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when t.status = 'closed' and t.resolved_at is null then 'canceled'
    else (select s.linear_state from desk_private.statuses s where s.status = t.status)
  end;
end
$$;

create function desk_private.linear_state_matches(status text, state_type text) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(state_type, 'unstarted') = any (s.linear_states)
    from desk_private.statuses s where s.status = linear_state_matches.status
  );
end
$$;

comment on function desk_private.linear_state_matches is
  'True if an issue in that state type needs no move. An unknown type counts as unstarted.';

create function desk_private.enqueue_linear(
  kind text, ticket_id uuid, data jsonb default '{}'
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into desk_private.outbox (channel, kind, ordering_key, ticket_id, data)
  values ('linear', enqueue_linear.kind, 'linear:' || enqueue_linear.ticket_id,
    enqueue_linear.ticket_id, enqueue_linear.data)
  on conflict do nothing;
end
$$;

-- At most one waiting change of state per ticket; it will carry the latest state.
create unique index outbox_linear_state on desk_private.outbox (ticket_id)
  where kind = 'state' and state = 'pending' and payload is null;

create function desk_private.linear_follows(ticket_id uuid) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return exists (
    select from desk_private.linear_issues l
    join desk.support_tickets t on t.id = l.ticket_id
    join desk.ticket_categories c on c.slug = t.category
    where l.ticket_id = linear_follows.ticket_id and l.removed_at is null and c.linear_follows
  );
end
$$;

create function desk_private.forward_ticket() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  team text := (select c.linear_team from desk.ticket_categories c where c.slug = new.category);
begin
  if team is null then
    return null;
  end if;
  insert into desk_private.linear_issues (ticket_id, team) values (new.id, team)
    on conflict do nothing;
  if found then
    perform desk_private.enqueue_linear('issue', new.id);
    -- A ticket that enters such a category later brings its public messages.
    if tg_op = 'UPDATE' and desk_private.linear_follows(new.id) then
      perform desk_private.enqueue_linear('comment', new.id, jsonb_build_object('message_id', m.id))
      from (
        select m.id from desk.ticket_messages m
        where m.ticket_id = new.id and not m.is_internal and m.author in ('customer', 'agent')
          and m.transcript_place is null
        order by m.created_at, m.id
      ) as m;
    end if;
  end if;
  return null;
exception
  when data_exception or integrity_constraint_violation or program_limit_exceeded then
    perform desk_private.skip_by_product('forward_ticket', sqlstate);
    return null;
end
$$;

-- An anonymous form is forwarded only after an agent has chosen such a category.
create trigger tickets_60_forward after insert on desk.support_tickets
  for each row when (new.customer_id is not null) execute function desk_private.forward_ticket();
create trigger tickets_60_forward_recategorised after update of category on desk.support_tickets
  for each row when (old.category <> new.category) execute function desk_private.forward_ticket();

create function desk_private.forward_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if desk_private.linear_follows(new.ticket_id) then
    perform desk_private.enqueue_linear(
      'comment', new.ticket_id, jsonb_build_object('message_id', new.id));
  end if;
  return null;
exception
  when data_exception or integrity_constraint_violation or program_limit_exceeded then
    perform desk_private.skip_by_product('forward_message', sqlstate);
    return null;
end
$$;

create trigger messages_60_forward after insert on desk.ticket_messages
  for each row
    when (not new.is_internal and new.author in ('customer', 'agent')
      and new.transcript_place is null)
  execute function desk_private.forward_message();

-- A state that came from Linear already matches, so it is not sent back: states are compared, not
-- actors.
create function desk_private.forward_status() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if desk_private.linear_follows(new.id) and not desk_private.linear_state_matches(
    new.status, (select l.state_type from desk_private.linear_issues l where l.ticket_id = new.id)
  ) then
    perform desk_private.enqueue_linear('state', new.id);
  end if;
  return null;
exception
  when data_exception or integrity_constraint_violation or program_limit_exceeded then
    perform desk_private.skip_by_product('forward_status', sqlstate);
    return null;
end
$$;

create trigger tickets_60_forward_status after update of status on desk.support_tickets
  for each row when (old.status <> new.status) execute function desk_private.forward_status();

-- The payload of a row; null if there is nothing to send.

create function desk_private.linear_issue_payload(t desk.support_tickets) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'team', l.team, 'label', c.linear_label, 'priority', t.priority, 'subject', t.subject,
    'issue_type', t.issue_type,
    'category', c.name, 'description', t.description, 'context', t.context,
    'requester_name', t.requester_name, 'requester_email', t.requester_email,
    'attachments', (
      select coalesce(jsonb_agg(a.url order by a.created_at, a.place, a.id), '[]')
      from desk.ticket_attachments a where a.ticket_id = t.id and a.message_id is null))
  from desk_private.linear_issues l
  join desk.ticket_categories c on c.slug = t.category
  where l.ticket_id = t.id
$$;

create function desk_private.linear_comment_payload(t desk.support_tickets,
  message uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'message_id', m.id, 'author', m.author, 'body', m.body,
    'author_name', case m.author when 'agent' then a.display_name else t.requester_name end,
    'attachments', (
      select coalesce(jsonb_agg(f.url order by f.created_at, f.place, f.id), '[]')
      from desk.ticket_attachments f where f.message_id = m.id))
  from desk.ticket_messages m
  left join desk.support_agents a on a.user_id = m.author_id
  where m.id = message
$$;

create function desk_private.freeze_linear(o desk_private.outbox) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets;
  l desk_private.linear_issues;
begin
  if o.payload is not null then
    return o.payload;
  end if;
  select s.* into t from desk.support_tickets s where s.id = o.ticket_id;
  select i.* into l from desk_private.linear_issues i where i.ticket_id = o.ticket_id;
  if t.deleted_at is not null or l.removed_at is not null then
    return null;
  end if;
  return case o.kind
    when 'issue' then desk_private.linear_issue_payload(t)
    when 'link' then '{}'
    when 'comment' then desk_private.linear_comment_payload(t, (o.data ->> 'message_id')::uuid)
    when 'state' then case when not desk_private.linear_state_matches(t.status, l.state_type)
      then jsonb_build_object('team', l.team, 'target_state',
        desk_private.linear_target_state(t)) end
  end || jsonb_build_object('ticket_id', t.id, 'ticket_number', t.ticket_number);
end
$$;

-- Leases frozen rows, of one ticket or of those that wait longest; none during a rate limit.
create function desk_private.claim_linear(
  ticket_id uuid, batch integer, lease_seconds integer
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  o desk_private.outbox;
  leased jsonb;
  claimed jsonb := '[]';
  skipped integer := 0;
  paused boolean := (select s.paused_until > now() from desk_private.linear_sync s);
begin
  perform desk_private.require_service();
  for o in
    select ready.*
    from desk_private.claim_outbox(
      'linear', case when paused then 0 else batch end, lease_seconds,
      for_key => 'linear:' || claim_linear.ticket_id, blocks => 'issue') as ready
    order by ready.id
  loop
    -- A transaction that is changing the ticket relies on this waiting row: put it off until that
    -- ends.
    perform from desk.support_tickets t where t.id = o.ticket_id for share skip locked;
    if not found then
      update desk_private.outbox b
      set lease_token = null, locked_until = null, available_at = now() + interval '1 s',
        attempts = o.attempts - 1
      where b.id = o.id;
      continue;
    end if;
    leased := desk_private.lease_row(o, desk_private.freeze_linear(o));
    skipped := skipped + (leased is null)::integer;
    claimed := claimed || coalesce(leased, '[]');
  end loop;
  return jsonb_build_object(
    'rows', claimed, 'skipped', skipped, 'paused', paused,
    'known', desk_private.linear_state(claim_linear.ticket_id));
end
$$;

create function desk.claim_linear(
  ticket uuid default null, batch integer default 20, lease_seconds integer default 300
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.claim_linear(ticket, least(greatest(batch, 1), 100), lease_seconds) $$;

comment on function desk.claim_linear is
  'Leases rows for Linear: {rows: [{id, lease_token, kind, attempt, payload}], skipped, paused, '
  'known}. `known` is the ticket''s issue.';

-- Pauses all forwarders.
create function desk_private.pause_linear(seconds integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  until timestamptz;
begin
  perform desk_private.require_service();
  update desk_private.linear_sync s
  set paused_until = greatest(
    s.paused_until, now() + make_interval(secs => least(greatest(seconds, 1), 86400)))
  returning s.paused_until into until;
  return jsonb_build_object('paused_until', desk_private.wire_time(until));
end
$$;

create function desk.pause_linear(seconds integer) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.pause_linear(seconds) $$;

comment on function desk.pause_linear is
  'Pauses all forwarders for so many seconds, a day at most.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.claim_linear, desk.pause_linear
  from public, anon, authenticated, service_role;
grant execute on function
  desk_private.claim_linear, desk_private.pause_linear, desk.claim_linear, desk.pause_linear
to service_role;
