-- People: agents and admins are active rows of support_agents, everybody else who is signed in is a
-- customer.
--
-- Rights never come from a claim of the token: taking an agent's row away works at once, not when a
-- token expires.

create table desk.support_agents (
  user_id uuid primary key references auth.users (id) on delete cascade,
  role text not null default 'agent' check (role in ('agent', 'admin')),
  display_name text not null check (char_length(display_name) between 1 and 200),
  active boolean not null default true,
  skills text[] not null default '{}',
  capacity integer not null default 20 check (capacity between 0 and 10000),
  branch_id text check (char_length(branch_id) between 1 and 100),
  created_at timestamptz not null default now()
);

alter table desk.support_agents enable row level security;

comment on table desk.support_agents is
  'The staff of the queue. Admins of all branches edit it here, under RLS.';
comment on column desk.support_agents.skills is
  'Categories that this agent takes; empty means all of them.';
comment on column desk.support_agents.capacity is
  'The number of unresolved tickets that the agent has room for.';
comment on column desk.support_agents.branch_id is
  'A branch-bound agent sees the tickets of that branch only; null sees all.';

-- The branch a customer belongs to. A ticket takes its branch from here, never from a payload.
create table desk.customer_branches (
  customer_id uuid primary key references auth.users (id) on delete cascade,
  branch_id text not null check (char_length(branch_id) between 1 and 100)
);

create index customer_branches_branch on desk.customer_branches (branch_id);

alter table desk.customer_branches enable row level security;

comment on table desk.customer_branches is
  'The branch of a customer. No row: a ticket that only agents without a branch see.';

-- The caller. Supabase's anonymous sign-ins have an id but count as not signed in.

-- A token outlives its account by up to an hour, so each request looks the account up by its key.
create function desk_private.caller() returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  claims jsonb := auth.jwt();
begin
  if claims ->> 'sub' is null or coalesce((claims ->> 'is_anonymous')::boolean, false) then
    return null;
  end if;
  return (
    select u.id from auth.users u
    where u.id = (claims ->> 'sub')::uuid and u.deleted_at is null
      and (u.banned_until is null or u.banned_until <= now()));
end
$$;

comment on function desk_private.caller is
  'The signed-in person, or null. A deleted or banned account is nobody.';

create function desk_private.require_caller() returns uuid
language plpgsql stable set search_path = '' as $$
declare
  me uuid := desk_private.caller();
begin
  if me is null then
    perform desk_private.fail('SD401', 'Sign in first: this needs a signed-in person.');
  end if;
  return me;
end
$$;

-- The calling agent. A token of an agent counts as a customer's in two cases. It belongs to an
-- OAuth client of a third party, or it skipped the second factor that the account has.
create function desk_private.calling_agent() returns desk.support_agents
language plpgsql stable security definer set search_path = '' as $$
declare
  claims jsonb := auth.jwt();
  a desk.support_agents;
begin
  select g.* into a from desk.support_agents g
  where g.user_id = desk_private.caller() and g.active and claims ->> 'client_id' is null
    and (
      coalesce(claims ->> 'aal' = 'aal2', false)
      or not exists (
        select from auth.mfa_factors f where f.user_id = g.user_id and f.status = 'verified'));
  return a;
end
$$;

comment on function desk_private.calling_agent is 'A row of nulls unless the caller is an agent.';

create function desk_private.is_agent() returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return (desk_private.calling_agent()).user_id is not null;
end
$$;

create function desk_private.is_admin() returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return coalesce((desk_private.calling_agent()).role = 'admin', false);
end
$$;

create function desk_private.agent_branch() returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  return (desk_private.calling_agent()).branch_id;
end
$$;

create function desk_private.is_unbound_agent() returns boolean
language plpgsql stable security definer set search_path = '' as $$
declare
  a desk.support_agents := desk_private.calling_agent();
begin
  return a.user_id is not null and a.branch_id is null;
end
$$;

-- Configuration that decides who sees what: an admin of one branch must not reach beyond it.
create function desk_private.is_unbound_admin() returns boolean
language plpgsql stable security definer set search_path = '' as $$
declare
  a desk.support_agents := desk_private.calling_agent();
begin
  return coalesce(a.role = 'admin', false) and a.branch_id is null;
end
$$;

comment on function desk_private.is_unbound_agent is
  'The caller is an agent of every branch. With agent_branch, policies say what role_on says.';

comment on function desk_private.agent_branch is
  'The branch that the calling agent is bound to; null for agents who see every branch.';

-- The service: functions with the secret key, and direct database sessions, which have no claims.
-- Claims without a role are refused.
create function desk_private.is_service() returns boolean
language plpgsql stable set search_path = '' as $$
declare
  claims jsonb := auth.jwt();
begin
  return claims is null or coalesce(claims ->> 'role' = 'service_role', false);
end
$$;

create function desk_private.require_agent() returns void
language plpgsql stable set search_path = '' as $$
begin
  perform desk_private.require_caller();
  if not desk_private.is_agent() then
    perform desk_private.fail('SD403', 'Only agents may do this.');
  end if;
end
$$;

create function desk_private.require_admin() returns void
language plpgsql stable set search_path = '' as $$
begin
  perform desk_private.require_caller();
  if not desk_private.is_admin() then
    perform desk_private.fail('SD403', 'Only admins may do this.');
  end if;
end
$$;

create function desk_private.require_service() returns void
language plpgsql stable set search_path = '' as $$
begin
  if not desk_private.is_service() then
    perform desk_private.fail('SD403', 'Only the service may do this.');
  end if;
end
$$;

create policy select_as_agent on desk.support_agents for select to authenticated
  using ((select desk_private.is_agent()));
create policy insert_as_unbound_admin on desk.support_agents for insert to authenticated
  with check ((select desk_private.is_unbound_admin()));
create policy update_as_unbound_admin on desk.support_agents for update to authenticated
  using ((select desk_private.is_unbound_admin()))
  with check ((select desk_private.is_unbound_admin()));
create policy delete_as_unbound_admin on desk.support_agents for delete to authenticated
  using ((select desk_private.is_unbound_admin()));

revoke all on desk.support_agents from public, anon, authenticated, service_role;
grant select, delete on desk.support_agents to authenticated;
grant insert (user_id, role, display_name, active, skills, capacity, branch_id)
  on desk.support_agents to authenticated;
grant update (role, display_name, active, skills, capacity, branch_id)
  on desk.support_agents to authenticated;
grant select on desk.support_agents to service_role;

create policy select_own_or_as_agent_of_the_branch
  on desk.customer_branches for select to authenticated
  using (
    customer_id = (select desk_private.caller())
    or (select desk_private.is_unbound_agent())
    or branch_id = (select desk_private.agent_branch())
  );
create policy insert_as_unbound_admin on desk.customer_branches for insert to authenticated
  with check ((select desk_private.is_unbound_admin()));
create policy update_as_unbound_admin on desk.customer_branches for update to authenticated
  using ((select desk_private.is_unbound_admin()))
  with check ((select desk_private.is_unbound_admin()));
create policy delete_as_unbound_admin on desk.customer_branches for delete to authenticated
  using ((select desk_private.is_unbound_admin()));

revoke all on desk.customer_branches from public, anon, authenticated, service_role;
grant select, delete on desk.customer_branches to authenticated;
grant insert (customer_id, branch_id), update (branch_id)
  on desk.customer_branches to authenticated;
grant select on desk.customer_branches to service_role;

revoke execute on all functions in schema desk_private from public;
grant execute on function
  desk_private.caller, desk_private.require_caller, desk_private.is_agent, desk_private.is_admin,
    desk_private.agent_branch, desk_private.is_unbound_agent,
    desk_private.is_unbound_admin,
  desk_private.fail
to anon, authenticated, service_role;
