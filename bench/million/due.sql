-- 10,000 tickets have just missed their first response, others in each round. Spread: every one of them in another part of the
-- table, and so on pages of its own in each index. Neighbours: a tenth of the tickets of some hours, as when nobody was there.
update desk_private.ticket_clocks c
set first_response_due = now() - interval '1 minute', next_at = now() - interval '1 minute'
from (
  select md5('open-' || case
    when %(spread)s then n * stride + %(round)s
    else n / 10 * 100 + n %% 10 + 50 + %(round)s * 100000
  end)::uuid as id
  from generate_series(0, 9999) as n, (select count(*) / 10000 as stride from desk.support_tickets) as spread
) as due
where c.ticket_id = due.id
