-- Mail: the content of an outbox row, as data. Its layout is up to the sender.
--
-- Signed-in people are mailed at their current verified address. The text of an anonymous form goes
-- to staff only: mail to its address carries neither subject, text nor name.

create function desk_private.requester_address(t desk.support_tickets) returns text
language sql stable security definer set search_path = '' as $$
  select case when t.customer_id is null then t.requester_email
    else (select nullif(u.email, '') from auth.users u
      where u.id = t.customer_id and u.email_confirmed_at is not null and u.deleted_at is null)
  end
$$;

create function desk_private.requester_mail(o desk_private.outbox,
  t desk.support_tickets) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number,
    'to_name', case when t.customer_id is not null then t.requester_name end,
    'subject', case when t.customer_id is not null then t.subject end,
    'access_token', o.data ->> 'access_token',
    'status', o.data ->> 'status',
    'decision', o.data ->> 'decision',
    'agent_name', (select a.display_name from desk.support_agents a
      where a.user_id = coalesce((o.data ->> 'agent')::uuid, m.author_id)),
    'resolution', case when o.data ->> 'status' = 'resolved' then t.resolution end,
    'body', m.body))
  from (select 1) as one
  left join lateral (
    select m.body, m.author_id from desk.ticket_messages m
    where m.ticket_id = t.id and not m.is_internal and case o.kind
      when 'agent_replied' then m.id = (o.data ->> 'message_id')::uuid
      when 'created' then m.author = 'system'
      else false end
    order by m.created_at, m.id limit 1
  ) as m on true
$$;

-- A digest of a person's unmailed notifications, 5,000 at most: counts per kind, and the fifty most
-- important. Building it marks them as mailed. Those of tickets that the person may not follow any
-- more are left out.
create function desk_private.digest_mail(person uuid) returns jsonb
language sql security definer set search_path = '' as $$
  with taken as (
    update desk.notifications n set mail_due = false
    where n.id in (
      select waiting.id from desk.notifications waiting
      where waiting.user_id = person and waiting.mail_due
      order by waiting.created_at limit 5000)
    returning n.kind, n.data, n.created_at, n.id, n.ticket_id
  ), due as (
    select taken.* from taken
    join desk.support_tickets t on t.id = taken.ticket_id and t.deleted_at is null
    join desk_private.live_agents() a on a.user_id = person and desk_private.may_follow(t, a)
  ), numbered as (
    select due.*, row_number() over (order by array_position(
      '{breached,due_soon,escalation_requested,assigned,customer_replied,created}', kind),
      created_at, id) as place
    from due
  )
  select jsonb_build_object(
    'to_name', (select a.display_name from desk.support_agents a where a.user_id = person),
    'counts', (
      select coalesce(jsonb_object_agg(kind, n), '{}')
      from (select kind, count(*) as n from due group by kind) k),
    'items', (
      select coalesce(jsonb_agg(data || jsonb_build_object('kind', kind) order by place), '[]')
      from numbered where place <= 50))
$$;

-- Whether a frozen digest still names only tickets that its recipient may follow. A retry sends the
-- same bytes or nothing.
create function desk_private.may_send_digest(o desk_private.outbox) returns boolean
language sql stable security definer set search_path = '' as $$
  select not exists (
    select from jsonb_array_elements(o.payload -> 'items') as item
    where not exists (
      select from desk.support_tickets t
      join desk_private.live_agents() a
        on a.user_id = o.recipient and desk_private.may_follow(t, a)
      where t.ticket_number = item ->> 'ticket_number' and t.deleted_at is null))
$$;

-- What a digest had no room for goes into the next one.
create function desk_private.enqueue_rest(person uuid) returns void
language sql security definer set search_path = '' as $$
  insert into desk_private.outbox (channel, kind, ordering_key, recipient, available_at)
  select 'mail', 'digest', 'digest:' || person, person, now() + interval '1 minute'
  where exists (select from desk.notifications n where n.user_id = person and n.mail_due)
  on conflict do nothing
$$;

-- Whether a notice has nothing to add when it is sent: it was undone, or another mail of the same
-- visit tells more. Replies always go.
create function desk_private.is_superseded(
  o desk_private.outbox, t desk.support_tickets
) returns boolean
language sql stable security definer set search_path = '' as $$
  select case o.kind
    when 'assigned' then t.assigned_to is distinct from (o.data ->> 'agent')::uuid
      or exists (
        select from desk_private.outbox x
        where x.ordering_key = o.ordering_key and x.state = 'pending' and x.id > o.id
          and (x.kind in ('assigned', 'agent_replied')
            or x.kind = 'status_changed' and x.data ->> 'status' in ('resolved', 'closed')))
    when 'status_changed' then t.status <> o.data ->> 'status'
      or exists (
        select from desk_private.outbox x
        where x.ordering_key = o.ordering_key and x.state = 'pending' and x.id > o.id
          and x.kind = 'status_changed')
      or exists (
        select from desk_private.outbox x
        where x.ticket_id = o.ticket_id and x.id <> o.id and x.channel = 'mail'
          and abs(extract(epoch from x.created_at - o.created_at))
            <= (desk_private.setting('notice_delay_seconds') #>> '{}')::integer
          and case o.data ->> 'status'
            when 'in_progress' then x.kind in ('assigned', 'agent_replied')
            when 'waiting_on_customer' then x.kind = 'agent_replied'
            else false end)
    else false
  end
$$;

-- Takes the other due notices of the recipient into this mail if they concern more than five
-- tickets; null otherwise. Leasing and freezing are one transaction, so no other sender has them.
create function desk_private.gathered_mail(o desk_private.outbox) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  due bigint[];
  items jsonb;
begin
  due := array(
    select x.id from desk_private.outbox x
    where x.recipient = o.recipient and x.kind in ('assigned', 'status_changed')
      and x.state = 'pending' and x.payload is null and x.available_at <= now()
      and not exists (
        select from desk_private.outbox earlier
        where earlier.ordering_key = x.ordering_key and earlier.id < x.id
          and earlier.state = 'pending' and earlier.kind not in ('assigned', 'status_changed'))
    order by x.id limit 1000
    for no key update skip locked);
  select jsonb_agg(jsonb_build_object(
      'kind', g.kind, 'ticket_number', t.ticket_number, 'subject', t.subject, 'status', t.status,
      'priority', t.priority) order by t.created_at, t.id)
    into items
  from (
    select distinct on (x.ticket_id) x.ticket_id, x.kind
    from desk_private.outbox x where x.id = any (due)
    order by x.ticket_id, x.id desc
  ) as g
  join desk.support_tickets t on t.id = g.ticket_id and t.deleted_at is null;
  if (jsonb_array_length(items) > 5) is not true then
    return null;
  end if;
  update desk_private.outbox x
  set state = 'done', settled_at = now(), lease_token = null, locked_until = null,
    last_error = 'sent with row ' || o.id
  where x.id = any (due) and x.id <> o.id;
  return jsonb_build_object('items', items, 'to_name', (
    select t.requester_name from desk.support_tickets t where t.id = o.ticket_id));
end
$$;

create function desk_private.mail_address(o desk_private.outbox) returns text
language sql stable security definer set search_path = '' as $$
  select case
    when o.kind = 'digest'
      then (select nullif(u.email, '') from auth.users u
        where u.id = o.recipient and u.email_confirmed_at is not null and u.deleted_at is null)
    else (select desk_private.requester_address(t) from desk.support_tickets t
      where t.id = o.ticket_id and t.deleted_at is null)
  end
$$;

-- Freezes a mail; null without a recipient or content.
create function desk_private.freeze_mail(o desk_private.outbox) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets;
begin
  if o.payload is null then
    select s.* into t from desk.support_tickets s where s.id = o.ticket_id;
    o.payload := case
      when o.kind = 'digest' then desk_private.digest_mail(o.recipient)
      when o.kind in ('assigned', 'status_changed') then coalesce(
        desk_private.gathered_mail(o),
        case when not desk_private.is_superseded(o, t)
          then desk_private.requester_mail(o, t) end)
      else desk_private.requester_mail(o, t) end;
  end if;
  if o.kind = 'digest' and not desk_private.may_send_digest(o) then
    return null;
  end if;
  if o.payload ->> 'to' is null then
    o.payload := o.payload || jsonb_build_object('to', desk_private.mail_address(o));
  end if;
  return case
    when o.payload ->> 'to' is not null and o.payload -> 'items' is distinct from '[]'
      then o.payload end;
end
$$;

-- Leases frozen mails; rows without a recipient or content are settled instead.
create function desk_private.claim_mail(batch integer, lease_seconds integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  o desk_private.outbox;
  leased jsonb;
  claimed jsonb := '[]';
  skipped integer := 0;
begin
  perform desk_private.require_service();
  perform desk_private.fan_out_news();
  for o in select * from desk_private.claim_outbox('mail', batch, lease_seconds) order by id loop
    -- A mail of this batch may have taken the row along.
    if not exists (
      select from desk_private.outbox b where b.id = o.id and b.state = 'pending') then
      skipped := skipped + 1;
      continue;
    end if;
    leased := desk_private.lease_row(o, desk_private.freeze_mail(o));
    if o.kind = 'digest' then
      perform desk_private.enqueue_rest(o.recipient);
    end if;
    skipped := skipped + (leased is null)::integer;
    claimed := claimed || coalesce(leased, '[]');
  end loop;
  return jsonb_build_object('rows', claimed, 'skipped', skipped);
end
$$;

create function desk.claim_mail(
  batch integer default 20, lease_seconds integer default 300
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.claim_mail(least(greatest(batch, 1), 100), lease_seconds) $$;

comment on function desk.claim_mail is
  'Leases mails to send: {rows: [{id, lease_token, kind, attempt, payload}], skipped}.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.claim_mail from public, anon, authenticated, service_role;
grant execute on function desk_private.claim_mail, desk.claim_mail to service_role;
