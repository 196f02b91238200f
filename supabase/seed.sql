-- Demo data for a project on one's own machine: a queue with something of everything. The demo people are made by Auth
-- beforehand; where they are missing, as on a hosted project, this does nothing.

insert into desk.support_agents (user_id, role, display_name)
select u.id, demo.role, demo.display_name
from (values ('agent@example.com', 'agent', 'Ada'), ('admin@example.com', 'admin', 'Grace')) as demo (email, role, display_name)
join auth.users u on u.email = demo.email
on conflict (user_id) do nothing;

-- Acts as one of the demo people, as their own token would.
create function pg_temp.become(email text)
returns void
language sql
as $$
  select set_config('request.jwt.claims', jsonb_build_object('role', 'authenticated', 'sub', u.id)::text, true)
  from auth.users u where u.email = become.email
$$;

-- Files a ticket that is some hours old already, its clocks included.
create function pg_temp.file(who text, hours numeric, subject text, description text, category text, priority text)
returns text
language plpgsql
as $$
declare
  number text;
begin
  perform pg_temp.become(who);
  number := desk.create_ticket(
    'support', subject, description, category, priority, requester_name => initcap(split_part(who, '@', 1))
  ) ->> 'ticket_number';
  update desk.support_tickets t set created_at = now() - make_interval(secs => hours * 3600)
  where t.ticket_number = number;
  update desk_private.ticket_clocks k
  set (first_response_due, resolution_due, running_since, next_at)
    = (c.first_response_due, c.resolution_due, c.running_since, c.next_at)
  from desk.support_tickets t
  join desk_private.ticket_clocks o on o.ticket_id = t.id
  cross join lateral desk_private.recalculated(
    t, jsonb_populate_record(o, jsonb_build_object('running_since', t.created_at))) c
  where t.ticket_number = number and k.ticket_id = t.id;
  return number;
end
$$;

do $$
declare
  customer constant text := 'customer@example.com';
  other constant text := 'other@example.com';
  agent constant text := 'agent@example.com';
  number text;
begin
  if not exists (select from desk.support_agents) or exists (select from desk.support_tickets) then
    return;
  end if;

  -- Breached by the time of the first sweep.
  perform pg_temp.file(customer, 5, 'Charged twice for one order', 'Order A-1042 shows up twice on my card.', 'billing', 'urgent');
  perform pg_temp.file(other, 30, 'Cannot change my address', 'The form says that the street is not valid.', 'account', 'medium');
  -- Due soon.
  perform pg_temp.file(customer, 3.4, 'App closes on start', 'Since the update the app closes as soon as it opens.', 'app_error', 'high');

  -- Waiting on the customer.
  number := pg_temp.file(other, 20, 'Refund has not arrived', 'It has been two weeks.', 'payments', 'medium');
  perform pg_temp.become(agent);
  perform desk.update_ticket(number, '{"assigned_to": "me", "status": "in_progress"}');
  perform desk.add_message(number, 'Could you tell me the last four digits of the card?');
  perform desk.add_message(number, 'The bank says it left on Monday.', is_internal => true);
  perform desk.update_ticket(number, '{"status": "waiting_on_customer"}');

  -- In progress, with an escalation that waits for a decision.
  number := pg_temp.file(customer, 9, 'Two-factor codes do not arrive', 'I tried three phones.', 'account_access', 'medium');
  perform desk.request_escalation(number, 'I am locked out of my shop.');
  perform pg_temp.become(agent);
  perform desk.update_ticket(number, '{"assigned_to": "me", "status": "in_progress"}');

  -- Resolved and rated.
  number := pg_temp.file(customer, 26, 'How do I export my data?', 'I need a CSV of last year.', 'feature_question', 'low');
  perform pg_temp.become(agent);
  perform desk.add_message(number, 'Settings, then Export. I have sent you last year''s file as well.');
  perform desk.update_ticket(number, '{"assigned_to": "me", "status": "resolved", "resolution": "Showed the export."}');
  perform pg_temp.become(customer);
  perform desk.rate_ticket(number, 5, 'Quick and friendly!');

  -- Handed over by the assistant a moment ago.
  perform pg_temp.become(other);
  perform desk.create_transfer(
    'demo-conversation', 'Account security issue - hacked', 'The customer says that their account was hacked.',
    '[{"author": "customer", "body": "My account was hacked!"},
      {"author": "ai", "body": "I understand this is critical. Let me escalate..."}]',
    'security_concern', 'urgent', 'Lock the account, then verify who the customer is.',
    context => '{"accountStatus": "active", "accountAge": "2 years"}');

  perform pg_temp.become(customer);
  perform desk.create_feedback('feature_request', 'A dark theme, please.', 4, 'themes', true);
  perform set_config('request.jwt.claims', '', true);
  delete from desk_private.quotas;
end
$$;

drop function pg_temp.become(text);
drop function pg_temp.file(text, numeric, text, text, text, text);
