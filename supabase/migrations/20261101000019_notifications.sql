-- Notifications: in the app and by mail.
--
-- The requester gets one mail per event. Staff get digests: news of a ticket is one row here. It is
-- fanned out to its recipients, and each digest gathers a person's news since the last one.

create table desk.notifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
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
create index notifications_ticket on desk.notifications (ticket_id);
create index notifications_mail_due on desk.notifications (user_id, created_at) where mail_due;
create index notifications_read on desk.notifications (read_at) where read_at is not null;

alter table desk.notifications enable row level security;

comment on table desk.notifications is
  'A person''s notifications in the app, customer or agent. Marked read by read_notifications.';
comment on column desk.notifications.mail_due is 'The person''s next digest will carry it.';

create policy select_own on desk.notifications for select to authenticated
  using (user_id = (select desk_private.caller()));

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

create function desk_private.read_notifications(ids uuid[]) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
  marked integer;
begin
  update desk.notifications n
  set read_at = now(), mail_due = false
  where n.user_id = me and n.read_at is null and (ids is null or n.id = any (ids));
  get diagnostics marked = row_count;
  return jsonb_build_object('read', marked);
end
$$;

create function desk.read_notifications(ids uuid[] default null) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.read_notifications(ids) $$;

comment on function desk.read_notifications is
  'Marks the caller''s notifications read, all of them when no ids are given.';

-- News for staff, before fan-out.
create table desk_private.staff_news (
  id bigint generated always as identity primary key,
  kind text not null,
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  actor_id uuid,
  created_at timestamptz not null default now()
);

create index staff_news_ticket on desk_private.staff_news (ticket_id);

-- Whether an agent receives the news of a ticket: the assigned agent, else all who could take it.
-- Admins receive all but replies.
create function desk_private.is_recipient(
  kind text, t desk.support_tickets, a desk.support_agents
) returns boolean
language sql immutable set search_path = '' as $$
  select a.active and (a.branch_id is null or a.branch_id = t.branch_id) and (
    a.user_id = t.assigned_to and kind <> 'escalation_requested'
    or a.role = 'admin' and kind <> 'customer_replied'
    or t.assigned_to is null and kind <> 'escalation_requested'
      and (a.skills = '{}' or t.category = any (a.skills)))
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
  ), notified as (
    insert into desk.notifications (user_id, ticket_id, kind, data, mail_due, created_at)
    select a.user_id, t.id, n.kind, desk_private.news_data(t), true, n.created_at
    from taken n
    join desk.support_tickets t on t.id = n.ticket_id and t.deleted_at is null
    join desk.support_agents a on desk_private.is_recipient(n.kind, t, a)
      and a.user_id is distinct from n.actor_id
    returning user_id
  )
  select desk_private.insert_digests(array(select user_id from notified))
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
    -- A notice waits for what follows in the same visit of an agent.
    insert into desk_private.outbox
      (channel, kind, ordering_key, ticket_id, data, recipient, available_at)
    values (
      'mail', notify_requester.kind, 'mail:' || t.id, t.id, notify_requester.data, t.customer_id,
      now() + case
        when notify_requester.kind in ('assigned', 'status_changed') then make_interval(
          secs => (desk_private.setting('notice_delay_seconds') #>> '{}')::integer)
        else interval '0' end);
  end if;
end
$$;

create function desk_private.notify_agent(agent uuid, t desk.support_tickets,
  kind text) returns void
language sql security definer set search_path = '' as $$
  insert into desk.notifications (user_id, ticket_id, kind, data, mail_due)
  values (agent, t.id, kind, desk_private.news_data(t), true);
  select desk_private.announce_digest(agent)
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

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.read_notifications from public, anon, authenticated, service_role;
grant execute on function desk_private.read_notifications, desk.read_notifications to authenticated;
