-- 20,000 customers, half of them in one of five branches, and 50 agents, of whom five are bound to a branch.
insert into auth.users (id, email, aud, role, email_confirmed_at, created_at)
select md5('customer-' || n)::uuid, 'customer-' || n || '@example.com', 'authenticated', 'authenticated', now(), now()
from generate_series(0, 19999) as n;

insert into desk.customer_branches (customer_id, branch_id)
select md5('customer-' || n)::uuid, 'branch-' || n % 10 from generate_series(0, 19999) as n where n % 10 < 5;

insert into auth.users (id, email, aud, role, email_confirmed_at, created_at)
select md5('agent-' || n)::uuid, 'agent-' || n || '@example.com', 'authenticated', 'authenticated', now(), now()
from generate_series(0, 49) as n;

insert into desk.support_agents (user_id, role, display_name, branch_id)
select md5('agent-' || n)::uuid, case n when 0 then 'admin' else 'agent' end, 'Agent ' || n,
  case when n >= 45 then 'branch-' || n - 45 end
from generate_series(0, 49) as n;
