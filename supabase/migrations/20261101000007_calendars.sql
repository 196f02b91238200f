-- Business calendars: when working time passes.
--
-- A calendar is open when the local time of its zone is inside an interval of that weekday, and the
-- day is no holiday. An interval across a change of the clocks has its real length: the skipped
-- hour does not count, the repeated one counts twice.

create table desk.business_calendars (
  slug text primary key check (slug ~ '^[a-z][a-z0-9_]{0,49}$'),
  name text not null check (char_length(name) between 1 and 100),
  time_zone text not null,
  hours jsonb not null,
  holidays date[] not null default '{}' check (cardinality(holidays) <= 1000)
);

alter table desk.business_calendars enable row level security;

comment on table desk.business_calendars is
  'Working hours by weekday in a time zone, and holidays. Admins edit them here.';
comment on column desk.business_calendars.hours is
  '{"monday": [["09:00", "12:30"], ["13:30", "18:00"]], …}: any number of intervals a day, in '
  'order, at most to 24:00.';

create policy select_as_agent on desk.business_calendars for select to authenticated
  using ((select desk_private.is_agent()));
create policy insert_as_admin on desk.business_calendars for insert to authenticated
  with check ((select desk_private.is_admin()));
create policy update_as_admin on desk.business_calendars for update to authenticated
  using ((select desk_private.is_admin())) with check ((select desk_private.is_admin()));
create policy delete_as_admin on desk.business_calendars for delete to authenticated
  using ((select desk_private.is_admin()));

revoke all on desk.business_calendars from public, anon, authenticated, service_role;
grant select, delete on desk.business_calendars to authenticated;
grant insert (slug, name, time_zone, hours, holidays), update (name, time_zone, hours, holidays)
  on desk.business_calendars to authenticated;
grant select on desk.business_calendars to service_role;

create function desk_private.weekday(day date) returns text
language sql immutable set search_path = '' as $$
  select (
    array['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']
  )[extract(isodow from day)]
$$;

create function desk_private.hours_problems(hours jsonb) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  day text;
  spans jsonb;
  span jsonb;
  earlier text;
  clock constant text := '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$';
  opens boolean := false;
begin
  if jsonb_typeof(hours) is distinct from 'object' then
    return desk_private.problem('hours', 'must be an object of weekday and intervals');
  end if;
  for day, spans in select * from jsonb_each(hours) loop
    if day <> all ('{monday,tuesday,wednesday,thursday,friday,saturday,sunday}'::text[]) then
      return desk_private.problem('hours.' || day, 'is not a weekday: monday … sunday');
    end if;
    if jsonb_typeof(spans) <> 'array' then
      return desk_private.problem('hours.' || day, 'must be a list of [opens, closes]');
    end if;
    earlier := '';
    for span in select value from jsonb_array_elements(spans) loop
      if jsonb_typeof(span) <> 'array' or jsonb_array_length(span) <> 2
        or span ->> 0 !~ clock is not false or span ->> 1 !~ clock is not false then
        return desk_private.problem('hours.' || day, 'must be pairs like ["09:00", "17:30"]');
      end if;
      if span ->> 0 >= span ->> 1 or span ->> 0 < earlier then
        return desk_private.problem(
          'hours.' || day, 'must open before it closes, and intervals must follow each other');
      end if;
      earlier := span ->> 1;
      opens := true;
    end loop;
  end loop;
  return case when opens then '[]'::jsonb
    else desk_private.problem(
      'hours', 'must have some working time: no interval on any weekday was given') end;
end
$$;

create function desk_private.is_around_the_clock(
  calendar desk.business_calendars
) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return calendar.slug is null or (calendar.holidays = '{}' and not exists (
    select from generate_series(0, 6) as n
    where calendar.hours -> desk_private.weekday(date '2026-01-05' + n)
      is distinct from '[["00:00", "24:00"]]'));
end
$$;

-- PostgreSQL also takes abbreviations and POSIX specifications for zones. There UTC+2 lies west of
-- Greenwich, and any word with a digit passes.
create function desk_private.time_zone_problem(zone text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return case
    when zone = 'UTC' or exists (
      select from pg_catalog.pg_timezone_names z where z.name = zone) then '[]'::jsonb
    else desk_private.problem('time_zone', 'must be a name of a time zone, like Europe/Paris')
  end;
end
$$;

create function desk_private.check_calendar() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.fail_fields(desk_private.hours_problems(new.hours));
  perform desk_private.fail_fields(desk_private.time_zone_problem(new.time_zone));
  if desk_private.working_add(new, now(), 60) is null then
    perform desk_private.fail_fields(
      desk_private.problem('holidays', 'must leave some working time in the next ten years'));
  end if;
  return new;
end
$$;

create trigger calendars_10_check before insert or update on desk.business_calendars
  for each row execute function desk_private.check_calendar();

-- How far the wall clock is ahead of UTC.
create function desk_private.utc_offset(instant timestamptz, zone text) returns interval
language sql stable set search_path = ''
as $$ select (instant at time zone zone) - (instant at time zone 'UTC') $$;

-- The stretches of constant offset around a day: one, or two if the clocks change nearby. The
-- instant of the change is found by bisection, to the second.
create function desk_private.offsets_around(day date, zone text) returns table (
  starts timestamptz, ends timestamptz, ahead interval
)
language plpgsql stable set search_path = '' as $$
declare
  early timestamptz := day::timestamp at time zone 'UTC' - interval '16 hours';
  late timestamptz := day::timestamp at time zone 'UTC' + interval '40 hours';
  before interval := desk_private.utc_offset(early, zone);
  after interval := desk_private.utc_offset(late, zone);
  low bigint := extract(epoch from early);
  high bigint := extract(epoch from late);
begin
  if before = after then
    return query select early, late, before;
    return;
  end if;
  while high - low > 1 loop
    if desk_private.utc_offset(to_timestamp((low + high) / 2), zone) = before then
      low := (low + high) / 2;
    else
      high := (low + high) / 2;
    end if;
  end loop;
  return query values (early, to_timestamp(high), before), (to_timestamp(high), late, after);
end
$$;

-- The working time of one local day, in order.
create function desk_private.open_spans(calendar desk.business_calendars, day date) returns table (
  opens timestamptz, closes timestamptz
)
language sql stable set search_path = '' as $$
  select s.opens, s.closes
  from jsonb_array_elements(calendar.hours -> desk_private.weekday(day)) as span
  cross join desk_private.offsets_around(day, calendar.time_zone) as stretch
  cross join lateral (
    select
      greatest((day + (span ->> 0)::time) at time zone 'UTC' - stretch.ahead, stretch.starts)
        as opens,
      -- As an interval, since 24:00 is the next day's midnight.
      least((day + (span ->> 1)::interval) at time zone 'UTC' - stretch.ahead, stretch.ends)
        as closes
  ) as s
  where day <> all (calendar.holidays) and s.opens < s.closes
  order by s.opens
$$;

-- Returns the instant at which `seconds` of working time have passed since `start`. Without a
-- calendar all time is working time. Null if ten years have less: a due time that never comes must
-- not prevent filing.
create function desk_private.working_add(
  calendar desk.business_calendars, start timestamptz, seconds double precision
) returns timestamptz
language plpgsql stable set search_path = '' as $$
declare
  day date;
  last_day date;
  span record;
  left_over double precision := greatest(seconds, 0);
  from_here timestamptz;
begin
  if calendar.slug is null then
    return start + make_interval(secs => left_over);
  end if;
  day := (start at time zone calendar.time_zone)::date - 1;
  last_day := day + 3660;
  while day < last_day loop
    for span in select * from desk_private.open_spans(calendar, day) loop
      from_here := greatest(span.opens, start);
      if from_here < span.closes then
        if extract(epoch from span.closes - from_here) >= left_over then
          return from_here + make_interval(secs => left_over);
        end if;
        left_over := left_over - extract(epoch from span.closes - from_here);
      end if;
    end loop;
    day := day + 1;
  end loop;
  return null;
end
$$;

-- How many seconds of working time lie between two instants; 0 when they are in the wrong order.
create function desk_private.working_seconds(
  calendar desk.business_calendars, start timestamptz, finish timestamptz
) returns double precision
language sql stable set search_path = '' as $$
  select case
    when finish <= start then 0
    when calendar.slug is null then extract(epoch from finish - start)
    else coalesce((
      select sum(extract(epoch from least(span.closes, finish) - greatest(span.opens, start)))
      from generate_series(
        (start at time zone calendar.time_zone)::date - 1,
        (finish at time zone calendar.time_zone)::date + 1,
        interval '1 day'
      ) as day
      cross join desk_private.open_spans(calendar, day::date) as span
      where span.opens < finish and span.closes > start
    ), 0)
  end
$$;

revoke execute on all functions in schema desk_private from public;
