-- Stats: volume, backlog, response and resolution times, SLA compliance and CSAT over a range of
-- local days.
--
-- A ticket counts as created on its day of filing, and as resolved on the day of its latest
-- resolution. A reopened ticket is not resolved. A rating counts on its own day. Durations are in
-- seconds of real time.

create function desk_private.stat_facts(
  starts timestamptz, ends timestamptz, branch text
) returns table (
  fact text, at timestamptz, category text, priority text, agent uuid,
  response_seconds double precision, response_in_time boolean, resolution_seconds double precision,
  resolution_in_time boolean, rating integer
)
language sql stable security definer set search_path = '' as $$
  select 'created', t.created_at, t.category, t.priority, t.assigned_to,
    extract(epoch from t.first_responded_at - t.created_at),
    case
      when c.first_response_breached_at is not null
        or (t.first_responded_at is null and c.first_response_due < now()
        and not desk_private.is_settled(t.status)) then false
      when t.first_responded_at is not null then true
    end,
    null::double precision, null::boolean, null::integer
  from desk.support_tickets t join desk_private.ticket_clocks c on c.ticket_id = t.id
  where t.created_at >= starts and t.created_at < ends and t.deleted_at is null
    and (branch is null or t.branch_id = branch)
  union all
  select 'resolved', settled.at, t.category, t.priority, t.assigned_to, null, null,
    extract(epoch from settled.at - t.created_at), c.resolution_breached_at is null, null
  from desk.support_tickets t join desk_private.ticket_clocks c on c.ticket_id = t.id
  cross join lateral (select coalesce(t.resolved_at, t.closed_at) as at) settled
  where settled.at >= starts and settled.at < ends and t.deleted_at is null
    and (branch is null or t.branch_id = branch)
  union all
  select 'rated', r.created_at, t.category, t.priority, t.assigned_to, null, null, null, null,
    r.rating
  from desk.ticket_ratings r join desk.support_tickets t on t.id = r.ticket_id
  where r.created_at >= starts and r.created_at < ends and t.deleted_at is null
    and (branch is null or t.branch_id = branch)
$$;

create index support_tickets_settled on desk.support_tickets ((coalesce(resolved_at, closed_at)))
  where coalesce(resolved_at, closed_at) is not null;
create index support_tickets_unsettled on desk.support_tickets (created_at)
  include (branch_id) where coalesce(resolved_at, closed_at) is null and deleted_at is null;
create index ticket_ratings_created on desk.ticket_ratings (created_at);

create function desk_private.backlog(at timestamptz, branch text) returns bigint
language sql stable security definer set search_path = '' as $$
  select (
    select count(*) from desk.support_tickets t
    where t.created_at < at and coalesce(t.resolved_at, t.closed_at) is null
      and t.deleted_at is null and (branch is null or t.branch_id = branch)
  ) + (
    select count(*) from desk.support_tickets t
    where t.created_at < at and coalesce(t.resolved_at, t.closed_at) >= at
      and t.deleted_at is null and (branch is null or t.branch_id = branch)
  )
$$;

-- The numbers of a day without events, so that all days have the same shape.
create function desk_private.no_numbers() returns jsonb
language sql immutable set search_path = '' as $$
  select '{
    "created": 0, "resolved": 0,
    "first_response": {"responded": 0, "average_seconds": null, "median_seconds": null,
      "in_time": 0, "missed": 0},
    "resolution": {"average_seconds": null, "median_seconds": null, "in_time": 0, "missed": 0},
    "sla_compliance": null,
    "csat": {"ratings": 0, "average": null, "satisfied": null}
  }'::jsonb
$$;

create function desk_private.stats(from_day date, to_day date, zone text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  branch text;
  starts timestamptz;
  ends timestamptz;
  answer jsonb;
  -- Bits of grouping(day, category, priority, agent): 0 for the column that a row is grouped by.
  of_total constant integer := b'1111'::integer;
  of_day constant integer := b'0111'::integer;
  of_category constant integer := b'1011'::integer;
  of_priority constant integer := b'1101'::integer;
  of_agent constant integer := b'1110'::integer;
begin
  perform desk_private.require_agent();
  perform desk_private.fail_fields(desk_private.time_zone_problem(zone));
  to_day := coalesce(to_day, greatest(from_day, (now() at time zone zone)::date));
  from_day := coalesce(from_day, to_day - 29);
  starts := from_day::timestamp at time zone zone;
  ends := (to_day + 1)::timestamp at time zone zone;
  if to_day < from_day or to_day - from_day > 366 then
    perform desk_private.fail_fields(
      desk_private.problem('to_day', 'must be from the first day on, at most 366 days later'));
  end if;
  branch := desk_private.agent_branch();
  with grouped as (
    select grouping(day, category, priority, agent) as mask, day, category, priority, agent,
      jsonb_build_object(
      'created', count(*) filter (where fact = 'created'),
      'resolved', count(*) filter (where fact = 'resolved'),
      'first_response', jsonb_build_object(
        'responded', count(response_seconds), 'average_seconds', round(avg(response_seconds)),
        'median_seconds', round(percentile_cont(0.5) within group (order by response_seconds)),
        'in_time', count(*) filter (where response_in_time),
        'missed', count(*) filter (where not response_in_time)),
      'resolution', jsonb_build_object(
        'average_seconds', round(avg(resolution_seconds)),
        'median_seconds', round(percentile_cont(0.5) within group (order by resolution_seconds)),
        'in_time', count(*) filter (where resolution_in_time),
        'missed', count(*) filter (where not resolution_in_time)),
      'sla_compliance', round(
        (count(*) filter (where response_in_time)
          + count(*) filter (where resolution_in_time))::numeric
        / nullif(count(response_in_time) + count(resolution_in_time), 0), 4),
      'csat', jsonb_build_object(
        'ratings', count(rating), 'average', round(avg(rating), 2),
        'satisfied', round(
          (count(*) filter (where rating >= 4))::numeric / nullif(count(rating), 0), 4))
    ) as numbers
    from (
      select f.*, (f.at at time zone zone)::date as day
      from desk_private.stat_facts(starts, ends, branch) f
    ) facts
    group by grouping sets ((), (day), (category), (priority), (agent))
  )
  select jsonb_build_object(
    'from', from_day, 'to', to_day, 'time_zone', zone,
    'total', (select numbers from grouped where mask = of_total)
      || jsonb_build_object('backlog', desk_private.backlog(least(ends, now()), branch)),
    'by_day', (
      select jsonb_agg(
        jsonb_build_object('day', d::date) || coalesce(g.numbers, desk_private.no_numbers())
          order by d)
      from generate_series(from_day, to_day, interval '1 day') d
      left join grouped g on g.mask = of_day and g.day = d::date),
    'by_category', (
      select coalesce(
        jsonb_agg(jsonb_build_object('category', category) || numbers order by category), '[]')
      from grouped where mask = of_category),
    'by_priority', (select coalesce(jsonb_agg(jsonb_build_object('priority', priority) || numbers
      order by desk_private.priority_rank(priority)), '[]') from grouped where mask = of_priority),
    'by_agent', (
      select coalesce(
        jsonb_agg(jsonb_build_object('agent', g.agent, 'agent_name', a.display_name) || g.numbers
      order by a.display_name, g.agent), '[]') from grouped g
        left join desk.support_agents a on a.user_id = g.agent
      where g.mask = of_agent)
  ) into answer;
  return answer;
end
$$;

create function desk.stats(
  from_day date default null, to_day date default null, time_zone text default 'UTC'
) returns jsonb
language sql stable security invoker set search_path = ''
as $$ select desk_private.stats(from_day, to_day, time_zone) $$;

comment on function desk.stats is
  'For agents, over local days, both included: {total, by_day, by_category, by_priority, '
  'by_agent}; an agent of null: unassigned.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.stats from public, anon, authenticated, service_role;
grant execute on function desk_private.stats, desk.stats to authenticated;
