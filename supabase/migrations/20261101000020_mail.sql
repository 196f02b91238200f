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

-- A digest of a person's unmailed notifications: counts per kind, and the fifty most important.
-- Building it marks them as mailed. Those of tickets that the person may not follow any more are
-- left out.
create function desk_private.digest_mail(person uuid) returns jsonb
language sql security definer set search_path = '' as $$
  with taken as (
    update desk.notifications n set mail_due = false
    where n.user_id = person and n.mail_due
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
    o.payload := case when o.kind = 'digest' then desk_private.digest_mail(o.recipient)
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
    leased := desk_private.lease_row(o, desk_private.freeze_mail(o));
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
