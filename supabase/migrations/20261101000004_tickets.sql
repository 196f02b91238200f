-- Tickets: the row, its number, its lifecycle and access to it.
--
-- Statuses are text with CHECKs, not enum types: `=` on text is leakproof, so an index serves it
-- under RLS.
--
-- The triggers of all tables. Those of one event fire in the order of their names, hence the
-- numbers. Those of each row fire before those of the statement.
--
--   on support_tickets
--     tickets_05_assign                 before insert                     row        assignment
--     tickets_10_stamp                  before update                     row        tickets
--     tickets_20_record_created         after insert                      row        events
--     tickets_30_index                  after insert                      row        conversation
--     tickets_40_start_clocks           after insert                      row        sla
--     tickets_50_notify                 after insert                      row        notifications
--     tickets_55_notify_assignment      after insert                      row        notifications
--     tickets_60_forward                after insert                      row        linear
--     tickets_60_reply                  after insert                      statement  answering
--     tickets_30_index_requester        after update                      row        conversation
--     tickets_30_index_resolution       after update                      row        conversation
--     tickets_40_move_clocks            after update                      row        sla
--     tickets_50_notify_change          after update                      row        notifications
--     tickets_60_forward_recategorised  after update                      row        linear
--     tickets_60_forward_status         after update                      row        linear
--     tickets_20_forget_requesters      after update                      statement  erasure
--     tickets_20_record_changed         after update                      statement  events
--   on ticket_messages
--     messages_30_index                 after insert                      row        conversation
--     messages_50_notify                after insert                      row        notifications
--     messages_60_forward               after insert                      row        linear
--   on escalation_requests
--     escalations_50_notify             after insert or update            row        notifications
--   on business_calendars
--     calendars_10_check                before insert or update           row        calendars
--     calendars_20_begin_revision       after insert or update or delete  statement  sla
--   on reply_templates
--     templates_05_check_placeholders   before insert or update           row        templates
--     templates_10_check_use            after update                      row        templates
--   on sla_policies
--     policies_20_begin_revision        after insert or update or delete  statement  sla
--   on support_agents
--     agents_10_check_skills            before insert or update           row        categories
--     agents_20_release_tickets         after update                      row        notifications
--     agents_20_release_before_deletion before delete                    row        notifications
--   on ticket_categories
--     categories_10_check_reply         after insert or update            row        templates
--
-- Two more, on auth.users, are in the chapter erasure.

-- The meaning of each status. CHECKs, indexes and hot paths repeat the names; a test holds them to
-- this table. `linear_state` is the state type that the issue should have. Any of `linear_states`
-- will do, since engineers sort their work among triage, backlog and unstarted.
create table desk_private.statuses (
  status text primary key,
  position integer not null unique,
  is_running boolean not null,
  is_settled boolean not null,
  linear_state text not null,
  linear_states text[] not null check (linear_state = any (linear_states))
);

insert into desk_private.statuses values
  ('open', 1, true, false, 'unstarted', '{triage,backlog,unstarted}'),
  ('in_progress', 2, true, false, 'started', '{started}'),
  ('waiting_on_customer', 3, false, false, 'unstarted', '{triage,backlog,unstarted,started}'),
  ('resolved', 4, false, true, 'completed', '{completed}'),
  ('closed', 5, false, true, 'completed', '{completed,canceled,duplicate}');

comment on table desk_private.statuses is 'The meaning of each status, once.';
comment on column desk_private.statuses.is_running is 'The resolution clock runs.';
comment on column desk_private.statuses.is_settled is 'The ticket needs no more work.';

create table desk_private.priorities (
  priority text primary key,
  position integer not null unique
);

insert into desk_private.priorities values ('low', 1), ('medium', 2), ('high', 3), ('urgent', 4);

comment on table desk_private.priorities is 'The priorities of tickets, lowest first.';

create function desk_private.priority_rank(priority text) returns integer
language plpgsql stable set search_path = '' as $$
begin
  return (select p.position from desk_private.priorities p
    where p.priority = priority_rank.priority);
end
$$;

create function desk_private.status_problem(path text, given text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return desk_private.choice_problem(
    path, given, array(select s.status from desk_private.statuses s order by s.position));
end
$$;

create function desk_private.priority_problem(
  path text, given text, lowest integer default 1
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return desk_private.choice_problem(path, given, array(
    select p.priority from desk_private.priorities p where p.position >= lowest
      order by p.position));
end
$$;

comment on function desk_private.priority_problem is
  '`lowest` is the rank of the lowest priority that may be chosen.';

create sequence desk_private.ticket_numbers;

create function desk_private.next_ticket_number() returns text
language plpgsql set search_path = '' as $$
begin
  return (
    select 'SUP-' || case when n < 100000 then lpad(n::text, 5, '0') else n::text end
    from nextval('desk_private.ticket_numbers') as n
  );
end
$$;

create table desk.support_tickets (
  id uuid primary key default gen_random_uuid(),
  ticket_number text not null unique default desk_private.next_ticket_number(),
  customer_id uuid references auth.users (id) on delete set null,
  requester_name text check (char_length(requester_name) between 1 and 200),
  requester_email text check (desk_private.is_email(requester_email)),
  issue_type text not null
    check (issue_type in (
      'chatbot', 'other', 'bug', 'support', 'contact', 'ai_transfer', 'webhook')),
  category text not null references desk.ticket_categories (slug) on update cascade,
  subject text not null check (char_length(subject) between 1 and 255 and subject ~ '\S'),
  description text not null check (
    char_length(description) between 1 and 20000 and description ~ '\S'),
  priority text not null default 'medium' check (priority in ('low', 'medium', 'high', 'urgent')),
  status text not null default 'open'
    check (status in ('open', 'in_progress', 'waiting_on_customer', 'resolved', 'closed')),
  assigned_to uuid references desk.support_agents (user_id) on delete set null,
  assigned_at timestamptz,
  escalated boolean not null default false,
  escalated_at timestamptz,
  branch_id text check (char_length(branch_id) between 1 and 100),
  context jsonb not null default '{}'
    check (jsonb_typeof(context) = 'object' and octet_length(context::text) <= 131072),
  resolution text check (char_length(resolution) between 1 and 20000),
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_response_at timestamptz,
  first_responded_at timestamptz,
  resolved_at timestamptz,
  closed_at timestamptz,
  deleted_at timestamptz
);

alter table desk.support_tickets enable row level security;

comment on table desk.support_tickets is
  'One row per ticket. Clients read it under RLS and change it through RPCs only.';
comment on column desk.support_tickets.customer_id is
  'The signed-in requester; null for an anonymous or a deleted one.';
comment on column desk.support_tickets.requester_email is
  'The address that Auth has verified, or the unverified one of an anonymous form.';
comment on column desk.support_tickets.context is
  'Fields of the issue type, and links such as order_id.';
comment on column desk.support_tickets.version is
  'Grows with edits of agents, not with replies or sweeps.';
comment on column desk.support_tickets.first_responded_at is
  'The first public reply of a human agent, or the resolution that was mailed before one.';
comment on column desk.support_tickets.last_response_at is
  'The last public message of any author.';

-- Every list is newest first within one filter, so each index ends in (created_at, id), the keyset.
-- Each index knows deleted tickets, so that a count reads the index alone. Indexes of foreign keys
-- must also hold deleted tickets.
create index support_tickets_customer
  on desk.support_tickets (customer_id, created_at desc, id desc)
  include (deleted_at);
create index support_tickets_assigned
  on desk.support_tickets (assigned_to, created_at desc, id desc)
  include (deleted_at);
create index support_tickets_category on desk.support_tickets (category, created_at desc, id desc)
  include (deleted_at);
create index support_tickets_status on desk.support_tickets (status, created_at desc, id desc)
  where deleted_at is null;
create index support_tickets_priority on desk.support_tickets (priority, created_at desc, id desc)
  where deleted_at is null;
create index support_tickets_created on desk.support_tickets (created_at desc, id desc)
  where deleted_at is null;
create index support_tickets_updated on desk.support_tickets (updated_at desc, id desc)
  where deleted_at is null;
create index support_tickets_branch on desk.support_tickets (branch_id, created_at desc, id desc)
  where branch_id is not null and deleted_at is null;
create index support_tickets_escalated on desk.support_tickets (created_at desc, id desc)
  where escalated and deleted_at is null;
create index support_tickets_context on desk.support_tickets using gin (context jsonb_path_ops);

create policy select_own_or_as_agent on desk.support_tickets for select to authenticated
  using (
    deleted_at is null and (
      customer_id = (select desk_private.caller())
      or (select desk_private.is_unbound_agent())
      or branch_id = (select desk_private.agent_branch())
    )
  );

revoke all on desk.support_tickets from public, anon, authenticated, service_role;
grant select on desk.support_tickets to authenticated, service_role;

-- The lifecycle of a ticket, as data.
create table desk_private.status_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);

insert into desk_private.status_transitions (from_status, to_status) values
  ('open', 'in_progress'), ('open', 'waiting_on_customer'),
  ('open', 'resolved'), ('open', 'closed'),
  ('in_progress', 'waiting_on_customer'), ('in_progress', 'open'),
  ('in_progress', 'resolved'), ('in_progress', 'closed'),
  ('waiting_on_customer', 'in_progress'),
  ('waiting_on_customer', 'resolved'), ('waiting_on_customer', 'closed'),
  ('resolved', 'closed'), ('resolved', 'open'),
  ('closed', 'open');

create function desk_private.require_transition(old_status text, new_status text) returns void
language plpgsql stable set search_path = '' as $$
declare
  allowed text[] := array(
    select to_status from desk_private.status_transitions where from_status = old_status
    order by to_status
  );
begin
  if new_status <> all (allowed) then
    perform desk_private.fail(
      'SD091',
      format('A ticket that is %s cannot become %s; it can become %s.',
        old_status, new_status, array_to_string(allowed, ', ')),
      jsonb_build_object('status', old_status, 'allowed', to_jsonb(allowed))
    );
  end if;
end
$$;

-- Timestamps that follow from a change are set here, so that no writer can forget them.
create function desk_private.stamp_ticket() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.updated_at := now();
  if new.status <> old.status then
    perform desk_private.require_transition(old.status, new.status);
    new.resolved_at := case new.status
      when 'resolved' then now()
      when 'closed' then old.resolved_at
    end;
    new.closed_at := case new.status when 'closed' then now() end;
  end if;
  if new.assigned_to is distinct from old.assigned_to then
    new.assigned_at := case when new.assigned_to is not null then now() end;
  end if;
  if new.escalated and not old.escalated then
    new.escalated_at := now();
  end if;
  -- Auth deleted the person: the ticket stays, without them.
  if new.customer_id is null and old.customer_id is not null then
    new.requester_name := null;
    new.requester_email := null;
    new.context := old.context - 'reporter_name' - 'reporter_email';
  end if;
  return new;
end
$$;

create trigger tickets_10_stamp before update on desk.support_tickets
  for each row when (old is distinct from new) execute function desk_private.stamp_ticket();

-- Finding one ticket, and the role of the caller on it.

create function desk_private.find_ticket(ref text) returns desk.support_tickets
language plpgsql stable security definer set search_path = '' as $$
declare
  t desk.support_tickets;
begin
  -- One look-up for each kind of reference: a CASE over both columns fits neither index.
  if desk_private.is_uuid(ref) then
    select s.* into t from desk.support_tickets s
    where s.id = ref::uuid and s.deleted_at is null;
  else
    select s.* into t from desk.support_tickets s
    where s.ticket_number = upper(ref) and s.deleted_at is null;
  end if;
  return t;
end
$$;

-- An anonymous requester holds two tokens that open this one ticket; only their hashes are kept.
-- The first is in the answer to the form: anybody may have typed the address. The second is mailed
-- to the address, so it proves the address, and reads what agents answer.
create table desk_private.ticket_tokens (
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  token_sha256 text not null,
  proves_address boolean not null,
  primary key (ticket_id, token_sha256)
);

create function desk_private.token_opens(
  t desk.support_tickets, token text, proving boolean default false
) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return token is not null
    and exists (
      select from desk_private.ticket_tokens k
      where k.ticket_id = t.id and k.token_sha256 = desk_private.sha256(token)
        and (k.proves_address or not proving)
    )
    and (
      t.closed_at is null
      or t.closed_at > now() - make_interval(
        days => (desk_private.setting('ticket_token_days') #>> '{}')::integer)
    );
end
$$;

create function desk_private.role_on(t desk.support_tickets, token text default null) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
  a desk.support_agents := desk_private.calling_agent();
begin
  return case
    when a.user_id is not null and (a.branch_id is null or t.branch_id = a.branch_id) then 'agent'
    when t.customer_id = desk_private.caller() or desk_private.token_opens(t, token) then 'customer'
  end;
end
$$;

comment on function desk_private.token_opens is
  'With `proving`, only the token that was mailed will do.';

comment on function desk_private.role_on is
  'The role of the caller on the ticket: agent, customer, or null.';

-- An agent may be a customer too: a ticket of another branch is visible but read-only.
create function desk_private.require_agent_on(t desk.support_tickets) returns void
language plpgsql stable set search_path = '' as $$
begin
  if desk_private.role_on(t) is distinct from 'agent' then
    perform desk_private.fail('SD403', 'This ticket belongs to another branch.');
  end if;
end
$$;

-- Returns the ticket that a caller may see, locked if `for_change`; SD404 otherwise, whether it
-- exists or not. The lock is FOR NO KEY UPDATE: foreign-key checks do not block on it. So the
-- outbox's senders cannot deadlock with an editing agent.
create function desk_private.require_ticket(
  ref text, token text default null, for_change boolean default false
) returns desk.support_tickets
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets;
begin
  if token is null then
    perform desk_private.require_caller();
  end if;
  t := desk_private.find_ticket(ref);
  -- Rights come before the lock, or strangers could hold up the sweep and the senders. They are
  -- checked again after it, since the row may have changed.
  if for_change and t.id is not null and desk_private.role_on(t, token) is not null then
    select s.* into t from desk.support_tickets s
    where s.id = t.id and s.deleted_at is null
    for no key update;
  end if;
  if t.id is null or desk_private.role_on(t, token) is null then
    perform desk_private.fail('SD404', 'There is no such ticket.');
  end if;
  return t;
end
$$;

-- A ticket as it goes over the wire in lists.
create function desk_private.ticket_summary(t desk.support_tickets) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number, 'issue_type', t.issue_type,
    'category', t.category, 'subject', t.subject, 'status', t.status, 'priority', t.priority,
    'assigned_to', t.assigned_to, 'escalated', t.escalated,
    'created_at', desk_private.wire_time(t.created_at), 'updated_at',
      desk_private.wire_time(t.updated_at),
    'last_response_at', desk_private.wire_time(t.last_response_at)
  );
end
$$;

revoke execute on all functions in schema desk_private from public;
grant execute on function desk_private.ticket_summary to authenticated;
