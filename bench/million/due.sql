-- 10,000 tickets, every one of them in another part of the table, have just missed their first response.
update private.ticket_clocks c
set first_response_due = now() - interval '1 minute', next_at = now() - interval '1 minute'
from (
  select md5('open-' || (n * stride + %(round)s))::uuid as id
  from generate_series(0, 9999) as n, (select count(*) / 10000 as stride from public.support_tickets) as spread
) as due
where c.ticket_id = due.id
