-- Escalations: the requester or an agent asks, an admin decides. Approval raises the priority.

create table desk.escalation_requests (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  requested_by text not null check (requested_by in ('customer', 'agent')),
  requester_id uuid,
  reason text not null check (char_length(reason) between 1 and 2000 and reason ~ '\S'),
  target_priority text not null check (target_priority in ('medium', 'high', 'urgent')),
  status text not null default 'pending' check (status in ('pending', 'approved', 'denied')),
  decided_by uuid,
  decision_note text check (char_length(decision_note) between 1 and 2000),
  decided_at timestamptz,
  created_at timestamptz not null default now()
);

comment on column desk.escalation_requests.requester_id is
  'The signed-in person who asked. Nobody decides their own request.';

create index escalation_requests_ticket on desk.escalation_requests (ticket_id, created_at);
create unique index escalation_requests_pending on desk.escalation_requests (ticket_id)
  where status = 'pending';

alter table desk.escalation_requests enable row level security;

comment on table desk.escalation_requests is
  'One open request a ticket at most. decision_note is for agents: customers read by RPC.';

create policy select_as_agent on desk.escalation_requests for select to authenticated
  using (exists (
    select from desk.support_tickets t
    where t.id = ticket_id
      and ((select desk_private.is_unbound_agent())
        or t.branch_id = (select desk_private.agent_branch()))
  ));

revoke all on desk.escalation_requests from public, anon, authenticated, service_role;
grant select on desk.escalation_requests to authenticated, service_role;

create function desk_private.raised_priority(priority text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select p.priority from desk_private.priorities p
    where p.position <= desk_private.priority_rank(raised_priority.priority) + 1
    order by p.position desc
    limit 1
  );
end
$$;

comment on function desk_private.raised_priority is 'One step higher; the highest stays.';

create function desk_private.escalation_json(e desk.escalation_requests) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'escalation_id', e.id, 'ticket_id', e.ticket_id, 'ticket_number', t.ticket_number,
    'requested_by', e.requested_by, 'reason', e.reason, 'target_priority', e.target_priority,
    'status', e.status, 'priority', t.priority,
    'created_at', desk_private.wire_time(e.created_at), 'decided_at',
      desk_private.wire_time(e.decided_at))
  from desk.support_tickets t where t.id = e.ticket_id
$$;

create function desk_private.request_escalation(
  ref text, reason text, target_priority text, access_token text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets := desk_private.require_ticket(ref, access_token, for_change => true);
  target text := coalesce(request_escalation.target_priority,
    desk_private.raised_priority(t.priority));
  e desk.escalation_requests;
begin
  perform desk_private.fail_fields(
    desk_private.text_problem('reason', reason, 2000)
      || desk_private.priority_problem('target_priority', target, lowest => 2));
  if desk_private.is_settled(t.status) then
    perform desk_private.fail(
      'SD094', format('This ticket is %s; reply to it to open it again.', t.status));
  end if;
  if desk_private.priority_rank(target) <= desk_private.priority_rank(t.priority)
    and t.priority <> 'urgent' then
    perform desk_private.fail_fields(
      desk_private.problem('target_priority', 'must be higher than ' || t.priority));
  end if;
  if desk_private.author_on(t) = 'customer' then
    perform desk_private.spend_quota(coalesce(desk_private.caller()::text, 'ticket:' || t.id),
      'message');
  end if;
  if exists (
    select from desk.escalation_requests p where p.ticket_id = t.id and p.status = 'pending'
  ) then
    perform desk_private.fail(
      'SD094', 'An escalation of this ticket is waiting for a decision already.');
  end if;
  insert into desk.escalation_requests (
    ticket_id, requested_by, requester_id, reason, target_priority)
  values (t.id, desk_private.author_on(t), desk_private.caller(), reason, target)
  returning * into e;
  perform desk_private.record_event(t.id, 'escalation_requested', e.requested_by,
    jsonb_build_object('target_priority', jsonb_build_array(null, target)));
  return desk_private.escalation_json(e);
end
$$;

create function desk.request_escalation(
  ticket text, reason text, target_priority text default null, access_token text default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.request_escalation(ticket, reason, target_priority, access_token) $$;

comment on function desk.request_escalation is
  'Asks for a higher priority (one step up when none is named); an admin decides.';

create function desk_private.decide_escalation(escalation text, decision text,
  note text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  e desk.escalation_requests;
  t desk.support_tickets;
begin
  perform desk_private.require_admin();
  perform desk_private.fail_fields(
    desk_private.choice_problem('status', decision, '{approved,denied}')
      || desk_private.text_problem('note', note, 2000, false));
  select r.* into e from desk.escalation_requests r
  where desk_private.is_uuid(escalation)
    and r.id = case when desk_private.is_uuid(escalation) then escalation::uuid end;
  if e.id is null then
    perform desk_private.fail('SD404', 'There is no such escalation request.');
  end if;
  t := desk_private.require_ticket(e.ticket_id::text, for_change => true);
  perform desk_private.require_agent_on(t);
  if desk_private.caller() in (e.requester_id, t.customer_id) then
    perform desk_private.fail('SD403', 'Another admin must decide your own request.');
  end if;
  update desk.escalation_requests r
  set status = decision, decided_by = desk_private.caller(), decision_note = note,
    decided_at = now()
  where r.id = e.id and r.status = 'pending'
  returning r.* into e;
  if not found then
    perform desk_private.fail('SD094', 'This escalation has been decided already.');
  end if;
  perform desk_private.record_event(t.id, 'escalation_decided', 'agent',
    jsonb_build_object('escalation', jsonb_build_array('pending', decision)));
  if decision = 'approved' then
    update desk.support_tickets s
    set escalated = true, version = s.version + 1,
      priority = case
        when desk_private.priority_rank(e.target_priority) > desk_private.priority_rank(s.priority)
        then e.target_priority else s.priority end
    where s.id = t.id;
  end if;
  return desk_private.escalation_json(e);
end
$$;

create function desk.decide_escalation(
  escalation text, decision text, note text default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.decide_escalation(escalation, decision, note) $$;

comment on function desk.decide_escalation is
  'An admin approves (the priority rises, the ticket counts as escalated) or denies.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.request_escalation, desk.decide_escalation
  from public, anon, authenticated, service_role;
grant execute on function desk_private.request_escalation, desk.request_escalation
  to anon, authenticated;
grant execute on function desk_private.decide_escalation, desk.decide_escalation to authenticated;
