-- Escalations: the requester or an agent asks, an admin decides. Approval raises the priority.

create table public.escalation_requests (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null references public.support_tickets (id) on delete cascade,
  requested_by text not null check (requested_by in ('customer', 'agent')),
  reason text not null check (char_length(reason) between 1 and 2000 and reason ~ '\S'),
  target_priority text not null check (target_priority in ('medium', 'high', 'urgent')),
  status text not null default 'pending' check (status in ('pending', 'approved', 'denied')),
  decided_by uuid,
  decision_note text check (char_length(decision_note) between 1 and 2000),
  decided_at timestamptz,
  created_at timestamptz not null default now()
);

create index escalation_requests_ticket on public.escalation_requests (ticket_id, created_at);
create unique index escalation_requests_pending on public.escalation_requests (ticket_id)
  where status = 'pending';

alter table public.escalation_requests enable row level security;

comment on table public.escalation_requests is
  'One open request a ticket at most. decision_note is for agents: customers read by RPC.';

create policy select_as_agent on public.escalation_requests for select to authenticated
  using ((select private.is_agent())
    and exists (select from public.support_tickets t where t.id = ticket_id));

revoke all on public.escalation_requests from public, anon, authenticated, service_role;
grant select on public.escalation_requests to authenticated, service_role;

create function private.raised_priority(priority text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select p.priority from private.priorities p
    where p.position <= private.priority_rank(raised_priority.priority) + 1
    order by p.position desc
    limit 1
  );
end
$$;

comment on function private.raised_priority is 'One step higher; the highest stays.';

create function private.escalation_json(e public.escalation_requests) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'escalation_id', e.id, 'ticket_id', e.ticket_id, 'ticket_number', t.ticket_number,
    'requested_by', e.requested_by, 'reason', e.reason, 'target_priority', e.target_priority,
    'status', e.status, 'priority', t.priority,
    'created_at', private.wire_time(e.created_at), 'decided_at', private.wire_time(e.decided_at))
  from public.support_tickets t where t.id = e.ticket_id
$$;

create function private.request_escalation(
  ref text, reason text, target_priority text, access_token text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t public.support_tickets := private.require_ticket(ref, access_token, for_change => true);
  target text := coalesce(request_escalation.target_priority, private.raised_priority(t.priority));
  e public.escalation_requests;
begin
  perform private.fail_fields(
    private.text_problem('reason', reason, 2000)
      || private.priority_problem('target_priority', target, lowest => 2));
  if private.is_settled(t.status) then
    perform private.fail(
      'SD094', format('This ticket is %s; reply to it to open it again.', t.status));
  end if;
  if private.priority_rank(target) <= private.priority_rank(t.priority)
    and t.priority <> 'urgent' then
    perform private.fail_fields(
      private.problem('target_priority', 'must be higher than ' || t.priority));
  end if;
  if private.author_on(t) = 'customer' then
    perform private.spend_quota(coalesce(private.caller()::text, 'ticket:' || t.id), 'message');
  end if;
  if exists (
    select from public.escalation_requests p where p.ticket_id = t.id and p.status = 'pending'
  ) then
    perform private.fail(
      'SD094', 'An escalation of this ticket is waiting for a decision already.');
  end if;
  insert into public.escalation_requests (ticket_id, requested_by, reason, target_priority)
  values (t.id, private.author_on(t), reason, target)
  returning * into e;
  perform private.record_event(t.id, 'escalation_requested', e.requested_by,
    jsonb_build_object('target_priority', jsonb_build_array(null, target)));
  return private.escalation_json(e);
end
$$;

create function public.request_escalation(
  ticket text, reason text, target_priority text default null, access_token text default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select private.request_escalation(ticket, reason, target_priority, access_token) $$;

comment on function public.request_escalation is
  'Asks for a higher priority (one step up when none is named); an admin decides.';

create function private.decide_escalation(escalation text, decision text, note text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  e public.escalation_requests;
  t public.support_tickets;
begin
  perform private.require_admin();
  perform private.fail_fields(
    private.choice_problem('status', decision, '{approved,denied}')
      || private.text_problem('note', note, 2000, false));
  select r.* into e from public.escalation_requests r
  where private.is_uuid(escalation)
    and r.id = case when private.is_uuid(escalation) then escalation::uuid end;
  if e.id is null then
    perform private.fail('SD404', 'There is no such escalation request.');
  end if;
  t := private.require_ticket(e.ticket_id::text, for_change => true);
  update public.escalation_requests r
  set status = decision, decided_by = private.caller(), decision_note = note, decided_at = now()
  where r.id = e.id and r.status = 'pending'
  returning r.* into e;
  if not found then
    perform private.fail('SD094', 'This escalation has been decided already.');
  end if;
  perform private.record_event(t.id, 'escalation_decided', 'agent',
    jsonb_build_object('escalation', jsonb_build_array('pending', decision)));
  if decision = 'approved' then
    update public.support_tickets s
    set escalated = true, version = s.version + 1,
      priority = case
        when private.priority_rank(e.target_priority) > private.priority_rank(s.priority)
        then e.target_priority else s.priority end
    where s.id = t.id;
  end if;
  return private.escalation_json(e);
end
$$;

create function public.decide_escalation(
  escalation text, decision text, note text default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select private.decide_escalation(escalation, decision, note) $$;

comment on function public.decide_escalation is
  'An admin approves (the priority rises, the ticket counts as escalated) or denies.';

revoke execute on all functions in schema private from public;
revoke all on function public.request_escalation, public.decide_escalation
  from public, anon, authenticated, service_role;
grant execute on function private.request_escalation, public.request_escalation
  to anon, authenticated;
grant execute on function private.decide_escalation, public.decide_escalation to authenticated;
