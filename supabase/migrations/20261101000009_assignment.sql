-- Assignment: by hand, to me, or automatically to the least loaded active agent who has the skill
-- and room.

-- Serialises automatic assignment: each sees the result of the one before, so capacities hold and
-- the load stays even. Taken before any ticket is locked, so that two updates cannot deadlock.
create function desk_private.lock_assignment() returns void
language sql set search_path = ''
as $$ select pg_advisory_xact_lock(hashtextextended('supadesk.assignment', 0)) $$;

create index support_tickets_load on desk.support_tickets (assigned_to)
  where deleted_at is null and status in ('open', 'in_progress', 'waiting_on_customer');

create function desk_private.least_loaded_agent(t desk.support_tickets) returns uuid
language sql volatile security definer set search_path = '' as $$
  select a.user_id
  from desk.support_agents a
  cross join lateral (
    select count(*) as load from desk.support_tickets s
    where s.assigned_to = a.user_id and s.deleted_at is null
      and s.status in ('open', 'in_progress', 'waiting_on_customer') and s.id <> t.id
  ) work
  where a.active
    and (a.skills = '{}' or t.category = any (a.skills))
    and (a.branch_id is null or a.branch_id = t.branch_id)
    and work.load < a.capacity
  order by work.load, a.user_id
  limit 1
$$;

comment on function desk_private.least_loaded_agent is
  'Null if no agent has the skill and room. Call it under lock_assignment only.';

-- The agent that `wanted` (an id or "me") names; must be active and able to see the ticket.
create function desk_private.assignable_agent(t desk.support_tickets, wanted text) returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  found_id uuid := (
    select a.user_id from desk.support_agents a
    where a.active and a.user_id::text = case wanted when 'me' then desk_private.caller()::text
      else lower(wanted) end
      and (a.branch_id is null or a.branch_id = t.branch_id));
begin
  if found_id is null then
    perform desk_private.fail_fields(desk_private.problem(
      'assigned_to', 'must be the id of an active agent who may see the ticket, me, auto or null'));
  end if;
  return found_id;
end
$$;

create function desk_private.assign_new_ticket() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.assigned_to is null
    and exists (
      select from desk.ticket_categories c where c.slug = new.category and c.auto_assign) then
    perform desk_private.lock_assignment();
    new.assigned_to := desk_private.least_loaded_agent(new);
    new.assigned_at := case when new.assigned_to is not null then now() end;
  end if;
  return new;
end
$$;

create trigger tickets_05_assign before insert on desk.support_tickets
  for each row execute function desk_private.assign_new_ticket();

revoke execute on all functions in schema desk_private from public;
