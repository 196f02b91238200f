-- 12,000 tickets of the last hour in which none of the known words stands, filed with all that the triggers do.
insert into desk.support_tickets (customer_id, requester_email, issue_type, category, subject, description, created_at)
select md5('customer-' || n % 20000)::uuid, 'customer-' || n % 20000 || '@example.com', 'support', 'app_error',
  'Nothing loads since the update', 'The page stays empty whatever I click, number ' || n || ' of many who see it',
  now() - make_interval(secs => n * 0.3)
from generate_series(1, 12000) as n;
