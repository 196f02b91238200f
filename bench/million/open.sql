-- As many open tickets as the setting bench.tickets says, the next ones of those that are there, with their clocks and events.
-- Texts are short and not indexed for search: a sweep reads neither.
alter table desk.support_tickets disable trigger user;

with numbered as (
  select n + (select count(*) from desk.support_tickets) as n
  from generate_series(1, current_setting('bench.tickets')::integer) as n
), filed as (
  insert into desk.support_tickets (
    id, ticket_number, customer_id, requester_email, issue_type, category, subject, description, priority, assigned_to,
    created_at, updated_at
  )
  select md5('open-' || n)::uuid, 'SUP-' || lpad(n::text, 7, '0'), md5('customer-' || n % 20000)::uuid,
    'customer-' || n % 20000 || '@example.com', 'support', 'technical', 'Subject ' || n, repeat('words of a ticket ', 20),
    case when n % 20 = 0 then 'high' else 'medium' end, md5('agent-' || n % 50)::uuid,
    now() - make_interval(secs => n * 0.3), now() - make_interval(secs => n * 0.3)
  from numbered
  returning id, ticket_number, created_at
), clocked as (
  insert into desk_private.ticket_clocks (ticket_id, first_response_due, resolution_due, running_since, warn_minutes, revision, next_at)
  select id, now() + interval '10 days', now() + interval '20 days', created_at, 60, 1, now() + interval '10 days'
  from filed
)
insert into desk.ticket_events (ticket_id, seq, type, actor, changes, created_at)
select id, 1, 'created', 'customer', jsonb_build_object('ticket_number', jsonb_build_array(null, ticket_number)), created_at
from filed;

alter table desk.support_tickets enable trigger user;
