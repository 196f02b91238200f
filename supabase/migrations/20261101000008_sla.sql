-- SLA: targets as data, and two clocks per ticket.
--
-- First response runs from creation until an agent tells the requester something: a public reply,
-- or a resolution that is mailed. It never pauses. A ticket that is reopened unanswered starts it
-- anew. An answer in time stays so, whatever the policy says later.
-- Resolution pauses in waiting_on_customer, resolved and closed, and continues with the remaining
-- time. The clocks live in a narrow table: a sweep rewrites small rows, and its cost grows with the
-- due tickets, not the open ones.

create table desk.sla_policies (
  id uuid primary key default gen_random_uuid(),
  category text references desk.ticket_categories (slug) on update cascade on delete cascade,
  priority text not null check (priority in ('low', 'medium', 'high', 'urgent')),
  first_response_minutes integer not null check (first_response_minutes between 1 and 1000000),
  resolution_minutes integer not null check (resolution_minutes between 1 and 1000000),
  warn_minutes integer not null default 60 check (warn_minutes between 0 and 100000),
  calendar text references desk.business_calendars (slug) on update cascade on delete restrict,
  unique nulls not distinct (category, priority)
);

create index sla_policies_calendar on desk.sla_policies (calendar);

alter table desk.sla_policies enable row level security;

comment on table desk.sla_policies is
  'Targets by priority. A row that names a category goes before the one that names none.';
comment on column desk.sla_policies.first_response_minutes is
  'In working time of the calendar, like resolution_minutes.';
comment on column desk.sla_policies.warn_minutes is
  'The lead of the warning before a breach, in minutes of real time.';
comment on column desk.sla_policies.calendar is 'Null: around the clock.';

create policy select_as_agent on desk.sla_policies for select to authenticated
  using ((select desk_private.is_agent()));
create policy insert_as_admin on desk.sla_policies for insert to authenticated
  with check ((select desk_private.is_admin()));
create policy update_as_admin on desk.sla_policies for update to authenticated
  using ((select desk_private.is_admin())) with check ((select desk_private.is_admin()));
create policy delete_as_admin on desk.sla_policies for delete to authenticated
  using ((select desk_private.is_admin()));

revoke all on desk.sla_policies from public, anon, authenticated, service_role;
grant select, delete on desk.sla_policies to authenticated;
grant insert (
    category, priority, first_response_minutes, resolution_minutes, warn_minutes, calendar),
  update (category, priority, first_response_minutes, resolution_minutes, warn_minutes, calendar)
  on desk.sla_policies to authenticated;
grant select on desk.sla_policies to service_role;

insert into desk.sla_policies
  (priority, first_response_minutes, resolution_minutes, warn_minutes) values
  ('urgent', 2 * 60, 8 * 60, 30),
  ('high', 4 * 60, 24 * 60, 60),
  ('medium', 24 * 60, 72 * 60, 240),
  ('low', 48 * 60, 120 * 60, 480);

insert into desk_private.settings (key, value) values
  ('sla_revision', '1'),
  ('auto_close_hours', '168');

-- A changed policy or calendar begins a new revision; the sweep recalculates the clocks of older
-- ones in batches. A number, not a time: a ticket that is filed during an uncommitted change sees
-- the old policies and the old number.
create function desk_private.begin_sla_revision() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update desk_private.settings s set value = to_jsonb((s.value #>> '{}')::integer + 1)
  where s.key = 'sla_revision';
  return null;
end
$$;

create trigger policies_20_begin_revision after insert or update or delete on desk.sla_policies
  for each statement execute function desk_private.begin_sla_revision();
create trigger calendars_20_begin_revision after insert or update or delete
  on desk.business_calendars
  for each statement execute function desk_private.begin_sla_revision();

create table desk_private.ticket_clocks (
  ticket_id uuid primary key references desk.support_tickets (id) on delete cascade,
  -- The reopening that began the first response anew; null: the creation.
  asked_again_at timestamptz,
  first_response_due timestamptz,
  first_response_warned_at timestamptz,
  first_response_breached_at timestamptz,
  resolution_due timestamptz,
  resolution_warned_at timestamptz,
  resolution_breached_at timestamptz,
  -- Working seconds spent before the stretch that began at running_since; null while the clock is
  -- paused.
  spent_seconds double precision not null default 0,
  running_since timestamptz,
  warn_minutes integer,
  revision integer not null,
  -- The next instant at which the sweep has something to do here; null when there is none.
  next_at timestamptz
);

create index ticket_clocks_next on desk_private.ticket_clocks (next_at) where next_at is not null;
create index ticket_clocks_revision on desk_private.ticket_clocks (revision)
  where next_at is not null or running_since is not null;

create function desk_private.policy_for(
  ticket_category text, ticket_priority text
) returns desk.sla_policies
language plpgsql stable security definer set search_path = '' as $$
declare
  policy desk.sla_policies;
begin
  select p.* into policy from desk.sla_policies p
  where p.priority = ticket_priority and (p.category = ticket_category or p.category is null)
  order by p.category nulls last
  limit 1;
  return policy;
end
$$;

create function desk_private.calendar_of(policy desk.sla_policies) returns desk.business_calendars
language plpgsql stable security definer set search_path = '' as $$
declare
  calendar desk.business_calendars;
begin
  if policy.calendar is not null then
    select b.* into calendar from desk.business_calendars b where b.slug = policy.calendar;
  end if;
  return calendar;
end
$$;

-- Constants of desk_private.statuses: they run for every row of a sweep and of the statistics.
create function desk_private.is_running(status text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return status in ('open', 'in_progress');
end
$$;

create function desk_private.is_settled(status text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return status in ('resolved', 'closed');
end
$$;

-- The next instant at which a running clock needs a look: its warning, then its due time, then
-- none.
create function desk_private.look_at(
  due timestamptz, warn_minutes integer, warned boolean, breached boolean
) returns timestamptz
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when breached then null
    when warned then due
    else due - make_interval(mins => warn_minutes)
  end;
end
$$;

create function desk_private.closing_time(resolved_at timestamptz) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return resolved_at + make_interval(
    hours => (desk_private.setting('auto_close_hours') #>> '{}')::integer);
end
$$;

-- The next instant at which the sweep has work: a warning, a breach, or closing a resolved ticket.
create function desk_private.next_look(
  c desk_private.ticket_clocks, status text, first_responded_at timestamptz,
    resolved_at timestamptz,
  deleted_at timestamptz
) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return case
    when deleted_at is not null or status = 'closed' then null
    when status = 'resolved' then desk_private.closing_time(resolved_at)
    else least(
      case when first_responded_at is null then desk_private.look_at(
        c.first_response_due, c.warn_minutes, c.first_response_warned_at is not null,
        c.first_response_breached_at is not null)
      end,
      case when c.running_since is not null then desk_private.look_at(
        c.resolution_due, c.warn_minutes, c.resolution_warned_at is not null,
        c.resolution_breached_at is not null)
      end)
  end;
end
$$;

-- The due time of the running stretch; null while the clock is paused.
create function desk_private.resolution_due(
  policy desk.sla_policies, calendar desk.business_calendars, c desk_private.ticket_clocks
) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return case when policy.id is not null and c.running_since is not null
    then desk_private.working_add(
      calendar, c.running_since, policy.resolution_minutes * 60 - c.spent_seconds) end;
end
$$;

-- The clocks of a ticket under the current policy; new ones have no revision yet. Warnings and
-- breaches are cleared where the new due time is still ahead.
create function desk_private.recalculated(
  t desk.support_tickets, c desk_private.ticket_clocks
) returns desk_private.ticket_clocks
language plpgsql stable security definer set search_path = '' as $$
declare
  policy desk.sla_policies := desk_private.policy_for(t.category, t.priority);
  calendar desk.business_calendars := desk_private.calendar_of(policy);
begin
  if t.first_responded_at is null or c.revision is null then
    c.first_response_due := case when policy.id is not null then desk_private.working_add(
      calendar, coalesce(c.asked_again_at, t.created_at), policy.first_response_minutes * 60) end;
  end if;
  c.warn_minutes := policy.warn_minutes;
  c.revision := (desk_private.setting('sla_revision') #>> '{}')::integer;
  c.resolution_due := desk_private.resolution_due(policy, calendar, c);
  if t.first_responded_at is null then
    c.first_response_warned_at := null;
    if c.first_response_due > now() then
      c.first_response_breached_at := null;
    end if;
  end if;
  c.resolution_warned_at := null;
  if c.resolution_due > now() then
    c.resolution_breached_at := null;
  end if;
  c.next_at := desk_private.next_look(
    c, t.status, t.first_responded_at, t.resolved_at, t.deleted_at);
  return c;
end
$$;

-- The clocks of a ticket after a change of status: stopped with the time spent, or resumed with the
-- rest.
create function desk_private.paused_or_resumed(
  t desk.support_tickets, c desk_private.ticket_clocks
) returns desk_private.ticket_clocks
language plpgsql stable security definer set search_path = '' as $$
declare
  policy desk.sla_policies := desk_private.policy_for(t.category, t.priority);
  calendar desk.business_calendars := desk_private.calendar_of(policy);
begin
  -- A breach counts even if no sweep has seen it. While the clock runs the sweep handles it, since
  -- it escalates.
  if t.first_responded_at > c.first_response_due then
    c.first_response_breached_at := coalesce(c.first_response_breached_at, c.first_response_due);
  end if;
  if c.running_since is not null and not desk_private.is_running(t.status) then
    if c.resolution_due <= now() then
      c.resolution_breached_at := coalesce(c.resolution_breached_at, c.resolution_due);
    end if;
    c.spent_seconds := c.spent_seconds + desk_private.working_seconds(calendar, c.running_since,
      now());
    c.running_since := null;
    c.resolution_due := null;
  elsif c.running_since is null and desk_private.is_running(t.status) then
    c.running_since := now();
    c.resolution_due := desk_private.resolution_due(policy, calendar, c);
    c.resolution_warned_at := null;
  end if;
  c.next_at := desk_private.next_look(
    c, t.status, t.first_responded_at, t.resolved_at, t.deleted_at);
  return c;
end
$$;

create function desk_private.start_clocks() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  c desk_private.ticket_clocks;
begin
  c.ticket_id := new.id;
  c.spent_seconds := 0;
  c.running_since := case when desk_private.is_running(new.status) then new.created_at end;
  c := desk_private.recalculated(new, c);
  insert into desk_private.ticket_clocks values (c.*);
  return null;
end
$$;

create trigger tickets_40_start_clocks after insert on desk.support_tickets
  for each row execute function desk_private.start_clocks();

create function desk_private.move_clocks() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  c desk_private.ticket_clocks;
  asks_again boolean;
begin
  select k.* into strict c from desk_private.ticket_clocks k where k.ticket_id = new.id for update;
  asks_again := desk_private.is_settled(old.status) and not desk_private.is_settled(new.status)
    and new.first_responded_at is null and c.first_response_breached_at is null;
  if asks_again then
    c.asked_again_at := now();
  end if;
  c := desk_private.paused_or_resumed(new, c);
  if asks_again or new.priority <> old.priority or new.category <> old.category then
    c := desk_private.recalculated(new, c);
  end if;
  update desk_private.ticket_clocks k
  set (
      asked_again_at, first_response_due, first_response_warned_at, first_response_breached_at,
      resolution_due, resolution_warned_at, resolution_breached_at,
      spent_seconds, running_since, warn_minutes, revision, next_at
    ) = (
      c.asked_again_at,
      c.first_response_due, c.first_response_warned_at, c.first_response_breached_at,
      c.resolution_due, c.resolution_warned_at, c.resolution_breached_at,
      c.spent_seconds, c.running_since, c.warn_minutes, c.revision, c.next_at
    )
  where k.ticket_id = c.ticket_id;
  return null;
end
$$;

create trigger tickets_40_move_clocks after update on desk.support_tickets
  for each row when (
    (old.status, old.priority, old.category)
      is distinct from (new.status, new.priority, new.category)
    or old.first_responded_at is distinct from new.first_responded_at
    or old.deleted_at is distinct from new.deleted_at
  ) execute function desk_private.move_clocks();

-- The clocks as get_ticket shows them.
create function desk_private.sla_json(t desk.support_tickets) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select jsonb_build_object(
      'first_response', jsonb_build_object(
        'due_at', desk_private.wire_time(c.first_response_due),
        'met_at', desk_private.wire_time(t.first_responded_at),
        'breached', c.first_response_breached_at is not null or coalesce(
          t.first_responded_at is null and not desk_private.is_settled(t.status)
            and c.first_response_due < now(), false)),
      'resolution', jsonb_build_object(
        'due_at', desk_private.wire_time(c.resolution_due),
        'met_at', desk_private.wire_time(coalesce(t.resolved_at, t.closed_at)),
        'paused', c.running_since is null,
        'spent_seconds', floor(c.spent_seconds + case
          when c.running_since is null then 0
          else desk_private.working_seconds(
            desk_private.calendar_of(desk_private.policy_for(t.category, t.priority)),
              c.running_since, now())
        end),
        'breached', c.resolution_breached_at is not null
          or coalesce(c.resolution_due < now(), false)))
    from desk_private.ticket_clocks c where c.ticket_id = t.id
  );
end
$$;

revoke execute on all functions in schema desk_private from public;
