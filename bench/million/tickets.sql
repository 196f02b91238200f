-- As many tickets of two years as the setting bench.tickets says, with their clocks, events and what full-text search reads, written
-- as the triggers would have written them. Customer 0 files 12 in a hundred, the others share the rest.
--
-- The texts are sentences of a vocabulary of 30,000 words in Zipf's distribution, and in a known share of them stand: "invoice"
-- (3 in 10), "payment" (1 in 10), "shipment" (2 in 100), "refund" (5 in 1,000), "voucher" (1 in 1,000), "chargeback" (1 in 50,000).
-- "invoice" stands in two categories only, so that a search in the others finds nothing of a common word.
select setseed(0.5);

create temp table words as
select n, (
  select string_agg(
    substr('bcdfghklmnprstvz', 1 + get_byte(digest, i) % 16, 1) || substr('aeiou', 1 + get_byte(digest, i) / 16 % 5, 1), '')
  from generate_series(0, 2 + n % 3) as i
) as word
from (select n, decode(md5(n::text), 'hex') as digest from generate_series(1, 30000) as n) as hashed;

create temp table sentences as
select d.sentence as n, string_agg(w.word, ' ') as sentence
from (
  select s as sentence, floor(exp(random() * ln(30001)))::integer as rank
  from generate_series(0, 99999) as s, generate_series(1, 10)
) as d
join words w on w.n = d.rank
group by d.sentence;

create unique index on sentences (n);
analyze sentences;

create temp table drafts as
select i, now() - (n + 1 - i) * interval '730 days' / n as created_at,
  case when random() < 0.12 then 0 else floor(random() * 20000)::integer end as customer,
  floor(random() * 100000)::integer as first, floor(random() * 100000)::integer as second,
  floor(random() * 100000)::integer as third, floor(random() * 100000)::integer as fourth,
  random() as by_status, random() as by_priority, random() as by_agent, random() as by_category,
  random() as payment, random() as rarer
from (select current_setting('bench.tickets')::integer as n) as asked, generate_series(1, n) as i;

alter table desk.support_tickets disable trigger user;

insert into desk.support_tickets (
  id, ticket_number, customer_id, requester_email, issue_type, category, subject, description, priority, status,
  assigned_to, escalated, branch_id, context, created_at, updated_at
)
select md5('ticket-' || d.i)::uuid, 'SUP-' || case when d.i < 100000 then lpad(d.i::text, 5, '0') else d.i::text end,
  md5('customer-' || d.customer)::uuid, 'customer-' || d.customer || '@example.com', 'support', c.slug,
  left(initcap(a.sentence), 40),
  concat_ws('. ', a.sentence, b.sentence, e.sentence, f.sentence)
    || case when d.by_category < 0.3 then ' invoice' else '' end
    || case when d.payment < 0.1 then ' payment' else '' end
    || case when d.rarer < 0.02 then ' shipment' when d.rarer < 0.025 then ' refund' when d.rarer < 0.026 then ' voucher' else '' end
    || case when d.i % 50000 = 7 then ' chargeback' else '' end,
  case when d.by_priority < 0.05 then 'urgent' when d.by_priority < 0.2 then 'high' when d.by_priority < 0.8 then 'medium' else 'low' end,
  case when d.by_status < 0.08 then 'open' when d.by_status < 0.13 then 'in_progress' when d.by_status < 0.18 then 'waiting_on_customer'
    when d.by_status < 0.25 then 'resolved' else 'closed' end,
  case when d.by_agent < 0.9 then md5('agent-' || floor(d.by_agent / 0.9 * 50))::uuid end,
  d.rarer > 0.98, case when d.customer % 10 < 5 then 'branch-' || d.customer % 10 end,
  jsonb_build_object('order_id', 'A-' || d.i), d.created_at, d.created_at
from drafts d
join sentences a on a.n = d.first
join sentences b on b.n = d.second
join sentences e on e.n = d.third
join sentences f on f.n = d.fourth
join (select slug, row_number() over (order by slug) - 1 as n from desk.ticket_categories) as c
  on c.n = floor(d.by_category * d.by_category * 17)
order by d.i;

alter table desk.support_tickets enable trigger user;
select setval('desk_private.ticket_numbers', current_setting('bench.tickets')::integer);

insert into desk_private.ticket_clocks (ticket_id, first_response_due, resolution_due, running_since, warn_minutes, revision, next_at)
select id, now() + interval '10 days', now() + interval '20 days', created_at, 60, 1, now() + interval '10 days'
from desk.support_tickets
where status in ('open', 'in_progress');

insert into desk.ticket_events (ticket_id, seq, type, actor, changes, created_at)
select id, 1, 'created', 'customer', jsonb_build_object('ticket_number', jsonb_build_array(null, ticket_number)), created_at
from desk.support_tickets
order by created_at;

-- A GIN index is built in a sixth of the time that it takes to fill.
do $$
declare
  definition text := pg_get_indexdef('desk_private.ticket_search_words'::regclass);
begin
  drop index desk_private.ticket_search_words;
  insert into desk_private.ticket_search (ticket_id, created_at, words)
  select t.id, t.created_at, desk_private.ticket_words(t) from desk.support_tickets t order by t.created_at;
  execute definition;
end
$$;
