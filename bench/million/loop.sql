-- A copy of the open tickets for the loop to change, with nothing around it but its key. 10,000 have waited for too long.
create table desk.loop_tickets as
select id, ticket_number, customer_id, subject, description, category, 'medium' as priority, status, assigned_to,
  false as escalated, null::timestamptz as escalated_at,
  now() - case when row_number() over () % (count(*) over () / 10000) = 0 then interval '3 days' else interval '1 hour' end
    as created_at
from desk.support_tickets;

alter table desk.loop_tickets add primary key (id);
