-- Notifications: in the app and by mail.
--
-- The requester gets one mail per event. Staff get digests: news of a ticket is one row here. It is
-- fanned out to its recipients, and each digest gathers a person's news since the last one.

create table desk.notifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  kind text not null check (kind in (
    'created', 'customer_replied', 'agent_replied', 'status_changed', 'assigned',
    'escalation_requested', 'escalation_decided', 'due_soon', 'breached')),
  data jsonb not null default '{}',
  mail_due boolean not null default false,
  created_at timestamptz not null default now(),
  read_at timestamptz
);

create index notifications_user on desk.notifications (user_id, created_at desc, id desc);
create index notifications_unread on desk.notifications (user_id, created_at desc, id desc)
  where read_at is null;
create index notifications_ticket on desk.notifications (ticket_id);
create index notifications_mail_due on desk.notifications (user_id, created_at) where mail_due;
create index notifications_read on desk.notifications (read_at) where read_at is not null;

alter table desk.notifications enable row level security;

comment on table desk.notifications is
  'A person''s notifications in the app, customer or agent. Marked read by read_notifications.';
comment on column desk.notifications.user_id is
  'No foreign key: its check would lock the account after the ticket, and the deletion of an '
  'account locks them the other way round. Erasure deletes the rows.';
comment on column desk.notifications.mail_due is 'The person''s next digest will carry it.';

-- A notification copies data of its ticket, so it needs the rights of the moment of reading. RLS of
-- support_tickets applies inside the subquery.
create policy select_own_of_visible_ticket on desk.notifications for select to authenticated
  using (
    user_id = (select desk_private.caller())
    and exists (
      select from desk.support_tickets t
      where t.id = ticket_id
        and (kind in ('agent_replied', 'status_changed', 'assigned', 'escalation_decided')
          or (select desk_private.is_unbound_agent())
          or t.branch_id = (select desk_private.agent_branch())))
  );

revoke all on desk.notifications from public, anon, authenticated, service_role;
grant select on desk.notifications to authenticated, service_role;

-- Realtime, where the project has it.
do $$
begin
  if exists (
    select from pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    alter publication supabase_realtime add table desk.notifications;
  end if;
exception when insufficient_privilege then
  raise notice using message = 'notifications are not published to Realtime: '
    'add the table to supabase_realtime in the dashboard';
end
$$;

-- Without ids a batch of the newest is marked: 200,000 at once would outlast the statement timeout.
create function desk_private.read_notifications(ids uuid[]) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
  batch constant integer := 5000;
  marked integer;
begin
  if cardinality(ids) > 1000 then
    perform desk_private.fail_fields(desk_private.problem('ids', 'must have at most 1000 entries'));
  end if;
  perform desk_private.spend_quota(me::text, 'notifications');
  if ids is null then
    ids := array(
      select n.id from desk.notifications n where n.user_id = me and n.read_at is null
      order by n.created_at desc, n.id desc
      limit batch);
  end if;
  update desk.notifications n
  set read_at = now(), mail_due = false
  where n.id = any (ids) and n.user_id = me and n.read_at is null;
  get diagnostics marked = row_count;
  return jsonb_build_object('read', marked) || case
    when cardinality(ids) = batch then jsonb_build_object('more', exists (
      select from desk.notifications n where n.user_id = me and n.read_at is null))
    else '{}' end;
end
$$;

create function desk.read_notifications(ids uuid[] default null) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.read_notifications(ids) $$;

comment on function desk.read_notifications is
  'Marks the caller''s notifications read: {read, more}. Without ids the newest 5,000; `more` if '
  'others are left.';

-- News for staff, before fan-out.
create table desk_private.staff_news (
  id bigint generated always as identity primary key,
  kind text not null,
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  actor_id uuid,
  created_at timestamptz not null default now()
);

create index staff_news_ticket on desk_private.staff_news (ticket_id);

-- Active agents whose accounts live.
create function desk_private.live_agents() returns setof desk.support_agents
language sql stable security definer set search_path = '' as $$
  select a.* from desk.support_agents a join auth.users u on u.id = a.user_id
  where a.active and u.deleted_at is null and (u.banned_until is null or u.banned_until <= now())
$$;

-- Whether a live agent may receive news of the ticket at all: of its branch, and assigned, skilled
-- or an admin.
create function desk_private.may_follow(
  t desk.support_tickets, a desk.support_agents
) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return (a.branch_id is null or coalesce(a.branch_id = t.branch_id, false))
    and (a.role = 'admin' or coalesce(a.user_id = t.assigned_to, false) or a.skills = '{}'
      or t.category = any (a.skills));
end
$$;

-- Whether a live agent receives the news of a ticket: the assigned agent if that one `can_act`,
-- else all who could take it. Admins receive all but replies.
create function desk_private.is_recipient(
  kind text, t desk.support_tickets, a desk.support_agents, can_act boolean
) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return desk_private.may_follow(t, a) and case
    when kind = 'escalation_requested' then a.role = 'admin'
    when a.role = 'admin' and kind <> 'customer_replied' then true
    when can_act then a.user_id = t.assigned_to
    else a.skills = '{}' or t.category = any (a.skills)
  end;
end
$$;

create function desk_private.news_data(t desk.support_tickets) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_build_object(
    'ticket_number', t.ticket_number, 'subject', t.subject, 'status', t.status,
    'priority', t.priority);
end
$$;

create function desk_private.fan_out_news(batch integer default 5000) returns void
language sql security definer set search_path = '' as $$
  with taken as (
    delete from desk_private.staff_news n
    where n.id in (
      select s.id from desk_private.staff_news s order by s.id limit batch for update skip locked)
    returning n.*
  ), live as materialized (
    select a from desk_private.live_agents() a
  ), news as materialized (
    select n.kind, n.actor_id, n.created_at, t, exists (
      select from live
      where (live.a).user_id = t.assigned_to and desk_private.may_follow(t, live.a)) as can_act
    from taken n
    join desk.support_tickets t on t.id = n.ticket_id and t.deleted_at is null
  ), notified as (
    insert into desk.notifications (user_id, ticket_id, kind, data, mail_due, created_at)
    select (live.a).user_id, (n.t).id, n.kind, desk_private.news_data(n.t), true, n.created_at
    from news n
    join live on desk_private.is_recipient(n.kind, n.t, live.a, n.can_act)
      and (live.a).user_id is distinct from n.actor_id
    returning user_id
  )
  insert into desk_private.outbox (channel, kind, ordering_key, recipient, available_at)
  select distinct 'mail', 'digest', 'digest:' || user_id, user_id, now() + interval '1 minute'
  from notified
  order by user_id  -- so that two of these cannot wait for each other in a circle
  on conflict do nothing
$$;

-- Notifies the requester in the app and by mail, where there is an account or an address.
create function desk_private.notify_requester(
  t desk.support_tickets, kind text, data jsonb default '{}'
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if t.customer_id is not null and kind <> 'created' then
    insert into desk.notifications (user_id, ticket_id, kind, data)
    values (
      t.customer_id, t.id, notify_requester.kind,
        desk_private.news_data(t) || notify_requester.data);
  end if;
  if t.requester_email is not null then
    insert into desk_private.outbox (channel, kind, ordering_key, ticket_id, data)
    values ('mail', notify_requester.kind, 'mail:' || t.id, t.id, notify_requester.data);
  end if;
end
$$;

create function desk_private.notify_agent(agent uuid, t desk.support_tickets,
  kind text) returns void
language sql security definer set search_path = '' as $$
  insert into desk.notifications (user_id, ticket_id, kind, data, mail_due)
  values (agent, t.id, kind, desk_private.news_data(t), true);
  insert into desk_private.outbox (channel, kind, ordering_key, recipient, available_at)
  values ('mail', 'digest', 'digest:' || agent, agent, now() + interval '1 minute')
  on conflict do nothing
$$;

create function desk_private.notify_of_ticket() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.notify_requester(new, 'created');
  insert into desk_private.staff_news (kind, ticket_id, actor_id)
    values ('created', new.id, desk_private.caller());
  return null;
end
$$;

create trigger tickets_50_notify after insert on desk.support_tickets
  for each row execute function desk_private.notify_of_ticket();

create function desk_private.notify_of_message() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets := (select s from desk.support_tickets s where s.id = new.ticket_id);
begin
  if new.author = 'agent' then
    perform desk_private.notify_requester(t, 'agent_replied',
      jsonb_build_object('message_id', new.id));
  elsif new.author = 'customer' then
    insert into desk_private.staff_news (kind, ticket_id, actor_id)
      values ('customer_replied', t.id, new.author_id);
  end if;
  return null;
end
$$;

create trigger messages_50_notify after insert on desk.ticket_messages
  for each row when (not new.is_internal and new.transcript_place is null)
    execute function desk_private.notify_of_message();

create function desk_private.is_quiet() returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return coalesce(current_setting('supadesk.quiet', true), '') = 'on';
end
$$;

create function desk_private.notify_of_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.assigned_to is not null and new.assigned_to is distinct from old.assigned_to then
    if new.assigned_to is distinct from desk_private.caller() then
      perform desk_private.notify_agent(new.assigned_to, new, 'assigned');
    end if;
    if not desk_private.is_quiet() then
      perform desk_private.notify_requester(
        new, 'assigned', jsonb_build_object('agent', new.assigned_to));
    end if;
  end if;
  if new.status <> old.status and desk_private.actor_on(new.customer_id) <> 'customer'
    and not desk_private.is_quiet() then
    perform desk_private.notify_requester(
      new, 'status_changed', jsonb_build_object('status', new.status));
  end if;
  return null;
end
$$;

create trigger tickets_50_notify_change after update on desk.support_tickets
  for each row when (old.status <> new.status or old.assigned_to is distinct from new.assigned_to)
  execute function desk_private.notify_of_change();

create function desk_private.notify_of_assignment() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.notify_agent(new.assigned_to, new, 'assigned');
  return null;
end
$$;

create trigger tickets_55_notify_assignment after insert on desk.support_tickets
  for each row when (new.assigned_to is not null)
    execute function desk_private.notify_of_assignment();

create function desk_private.notify_of_escalation() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets := (select s from desk.support_tickets s where s.id = new.ticket_id);
begin
  if new.status = 'pending' then
    insert into desk_private.staff_news (kind, ticket_id, actor_id)
      values ('escalation_requested', t.id, desk_private.caller());
  elsif new.requested_by = 'customer' then
    perform desk_private.notify_requester(
      t, 'escalation_decided', jsonb_build_object('decision', new.status));
  end if;
  return null;
end
$$;

create trigger escalations_50_notify after insert or update of status
  on desk.escalation_requests
  for each row execute function desk_private.notify_of_escalation();

-- An agent who leaves the desk, a branch or a skill gives up the unresolved tickets that go with
-- it. What came in for them, and was not read, becomes news for the agents who can take the tickets
-- now.
create function desk_private.release_tickets() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  remaining desk.support_agents;
  actor text := coalesce(current_setting('supadesk.actor', true), '');
begin
  if tg_op = 'UPDATE' then
    remaining := new;
  end if;
  perform set_config('supadesk.actor', 'system', true);
  with lost as (
    select t.id from desk.support_tickets t
    where t.assigned_to = old.user_id and t.deleted_at is null
      and t.status in ('open', 'in_progress', 'waiting_on_customer')
      and (
        remaining.active is not true
        or remaining.branch_id is not null and t.branch_id is distinct from remaining.branch_id
        or remaining.skills <> '{}' and t.category <> all (remaining.skills)
          and (old.skills = '{}' or t.category = any (old.skills)))
    order by t.id
    for no key update
  ), released as (
    update desk.support_tickets t set assigned_to = null from lost where t.id = lost.id
    returning t.id
  )
  insert into desk_private.staff_news (kind, ticket_id)
  select distinct case n.kind when 'assigned' then 'created' else n.kind end, n.ticket_id
  from released join desk.notifications n on n.ticket_id = released.id
  where n.user_id = old.user_id and n.read_at is null
    and n.kind in ('assigned', 'created', 'customer_replied', 'due_soon', 'breached');
  perform set_config('supadesk.actor', actor, true);
  return old;
exception when others then
  -- A by-product: neither the change of an agent nor the deletion of an account fails for it.
  raise warning 'tickets of an agent were not released: %', sqlstate;
  return old;
end
$$;

create trigger agents_20_release_tickets
  after update of active, branch_id, skills on desk.support_agents
  for each row
  when ((old.active, old.branch_id, old.skills)
    is distinct from (new.active, new.branch_id, new.skills))
  execute function desk_private.release_tickets();

create trigger agents_20_release_before_deletion before delete on desk.support_agents
  for each row execute function desk_private.release_tickets();

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.read_notifications from public, anon, authenticated, service_role;
grant execute on function desk_private.read_notifications, desk.read_notifications to authenticated;
