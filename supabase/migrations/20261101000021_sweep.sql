-- The sweep: warns before a breach, escalates after one, closes tickets a week after their
-- resolution. It also applies changed policies and prunes old rows.
--
-- One set-based statement per batch. Rows locked elsewhere are skipped, so sweeps and agents never
-- wait for each other or act twice. A skipped row is due again at the next sweep.

-- The clocks of a due ticket after the sweep: breached, warned, and due again.
create function desk_private.clocks_after_look(
  c desk_private.ticket_clocks, status text, first_responded_at timestamptz,
    resolved_at timestamptz,
  deleted_at timestamptz
) returns desk_private.ticket_clocks
language plpgsql stable set search_path = '' as $$
begin
  if first_responded_at is null and not desk_private.is_settled(status) then
    if c.first_response_due <= now() then
      c.first_response_breached_at := coalesce(c.first_response_breached_at, c.first_response_due);
    elsif desk_private.look_at(c.first_response_due, c.warn_minutes, false, false) <= now() then
      c.first_response_warned_at := coalesce(c.first_response_warned_at, now());
    end if;
  end if;
  if c.running_since is not null then
    if c.resolution_due <= now() then
      c.resolution_breached_at := coalesce(c.resolution_breached_at, c.resolution_due);
    elsif desk_private.look_at(c.resolution_due, c.warn_minutes, false, false) <= now() then
      c.resolution_warned_at := coalesce(c.resolution_warned_at, now());
    end if;
  end if;
  c.next_at := desk_private.next_look(c, status, first_responded_at, resolved_at, deleted_at);
  return c;
end
$$;

create function desk_private.sweep_due(batch integer) returns jsonb
language sql security definer set search_path = '' as $$
  with due as materialized (
    select c as clocks, t.escalated, t.first_responded_at, t.resolved_at, t.deleted_at,
      is_over.closes, case when is_over.closes then 'closed' else t.status end as status
    from desk_private.ticket_clocks c
    join desk.support_tickets t on t.id = c.ticket_id
    cross join lateral (
      select t.status = 'resolved' and coalesce(
        desk_private.closing_time(t.resolved_at) <= now(), false) as closes
    ) is_over
    where c.next_at <= now()
    order by c.next_at
    limit batch
    for no key update of c, t skip locked
  ), looked as materialized (
    select d.escalated, d.closes, d.clocks as before, l as after
    from due d
    cross join lateral desk_private.clocks_after_look(
      d.clocks, d.status, d.first_responded_at, d.resolved_at, d.deleted_at) as l
  ), verdict as (
    select (after).ticket_id, escalated, closes,
      (after).first_response_breached_at is distinct from (before).first_response_breached_at
        or (after).resolution_breached_at is distinct from (before).resolution_breached_at
        as misses,
      (after).first_response_warned_at is distinct from (before).first_response_warned_at
        or (after).resolution_warned_at is distinct from (before).resolution_warned_at
        as warns
    from looked
  ), clocked as (
    update desk_private.ticket_clocks c
    set (
        first_response_warned_at, first_response_breached_at,
        resolution_warned_at, resolution_breached_at, next_at
      ) = (
        (l.after).first_response_warned_at, (l.after).first_response_breached_at,
        (l.after).resolution_warned_at, (l.after).resolution_breached_at, (l.after).next_at
      )
    from looked l
    where c.ticket_id = (l.after).ticket_id
  ), changed as (
    update desk.support_tickets t
    set escalated = t.escalated or v.misses,
      status = case when v.closes then 'closed' else t.status end
    from verdict v
    where t.id = v.ticket_id and (v.closes or (v.misses and not v.escalated))
    returning t.ticket_number, v.closes
  ), news as (
    insert into desk_private.staff_news (kind, ticket_id)
    select case when misses then 'breached' else 'due_soon' end, ticket_id
    from verdict
    where misses or warns
  )
  select jsonb_build_object(
    'looked_at', (select count(*) from due),
    'warned', (select count(*) from verdict where warns and not misses),
    'breached', (select count(*) from verdict where misses),
    'escalated', (
      select coalesce(jsonb_agg(ticket_number order by ticket_number), '[]') from changed
      where not closes),
    'closed', (select count(*) from changed where closes))
$$;

-- Recalculates clocks of earlier revisions of policies and calendars. Both rows are read under the
-- lock, so they include concurrent changes of agents.
create function desk_private.sweep_policies(batch integer) returns integer
language sql security definer set search_path = '' as $$
  with stale as materialized (
    select t, c
    from desk_private.ticket_clocks c
    join desk.support_tickets t on t.id = c.ticket_id
    where c.revision < (desk_private.setting('sla_revision') #>> '{}')::integer
      and (c.next_at is not null or c.running_since is not null)
    order by c.revision
    limit batch
    for no key update of c, t skip locked
  ), applied as (
    update desk_private.ticket_clocks k
    set (
        first_response_due, first_response_warned_at, first_response_breached_at,
        resolution_due, resolution_warned_at, resolution_breached_at,
        warn_minutes, revision, next_at
      ) = (
        r.first_response_due, r.first_response_warned_at, r.first_response_breached_at,
        r.resolution_due, r.resolution_warned_at, r.resolution_breached_at,
        r.warn_minutes, r.revision, r.next_at
      )
    from stale
    cross join lateral desk_private.recalculated(stale.t, stale.c) as r
    where k.ticket_id = r.ticket_id
    returning 1
  )
  select count(*)::integer from applied
$$;

-- Most rows of clocks change again and again.
alter table desk_private.ticket_clocks set (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05
);

insert into desk_private.settings (key, value) values
  ('unread_notification_days', '180'),
  ('staff_news_days', '30'),
  ('dead_letter_days', '90');

create function desk_private.retention_start(name text) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return now() - make_interval(days => (desk_private.setting(name) #>> '{}')::integer);
end
$$;

comment on function desk_private.retention_start is
  'The time before which rows are pruned; `name` is a setting in days. Without one, none are.';

create function desk_private.prune(batch integer) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  total integer;
begin
  with keys as (
    delete from desk_private.idempotency i where (i.caller, i.action, i.key) in (
      select old.caller, old.action, old.key from desk_private.idempotency old
      where old.created_at < now() - interval '24 hours' limit batch)
    returning 1
  ), spent as (
    delete from desk_private.quotas q where (q.who, q.kind) in (
      select old.who, old.kind from desk_private.quotas old join desk_private.quota_limits l
        using (kind)
      where old.used_at[cardinality(old.used_at)] < now() - l.period limit batch)
    returning 1
  ), sent as (
    delete from desk_private.outbox b where b.id in (
      select old.id from desk_private.outbox old
      where old.state = 'done' and old.settled_at < now() - interval '30 days' limit batch)
    returning 1
  ), seen as (
    delete from desk.notifications n where n.id in (
      select old.id from desk.notifications old where old.read_at < now() - interval '30 days'
      limit batch)
    returning 1
  ), unseen as (
    delete from desk.notifications n where n.id in (
      select old.id from desk.notifications old
      where old.read_at is null
        and old.created_at < (select desk_private.retention_start('unread_notification_days'))
      limit batch)
    returning 1
  ), stale as (
    delete from desk_private.staff_news n where n.id in (
      select old.id from desk_private.staff_news old
      where old.created_at < (select desk_private.retention_start('staff_news_days'))
      limit batch for update skip locked)
    returning 1
  ), dead as (
    delete from desk_private.outbox b where b.id in (
      select old.id from desk_private.outbox old
      where old.state = 'dead'
        and old.settled_at < (select desk_private.retention_start('dead_letter_days'))
      limit batch)
    returning 1
  ), received as (
    delete from desk_private.received_webhooks d where (d.source, d.delivery) in (
      select old.source, old.delivery from desk_private.received_webhooks old
      where old.received_at < now() - interval '30 days' limit batch)
    returning 1
  )
  select ((select count(*) from keys) + (select count(*) from spent) + (select count(*) from sent)
    + (select count(*) from seen) + (select count(*) from received)
    + (select count(*) from unseen) + (select count(*) from stale)
    + (select count(*) from dead))::integer
  into total;
  return total;
end
$$;

create function desk_private.sweep(batch integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  recalculated integer;
  pruned integer;
  due jsonb;
begin
  if not desk_private.is_service() then
    perform desk_private.require_agent();
  end if;
  perform set_config('supadesk.actor', 'system', true);
  recalculated := desk_private.sweep_policies(batch);
  due := desk_private.sweep_due(batch);
  pruned := desk_private.prune(batch);
  perform set_config('supadesk.actor', '', true);
  return due || jsonb_build_object(
    'recalculated', recalculated, 'pruned', pruned,
    'more', recalculated = batch or (due ->> 'looked_at')::integer = batch or pruned >= batch);
end
$$;

create function desk.sweep(batch integer default 1000) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.sweep(least(greatest(batch, 1), 10000)) $$;

comment on function desk.sweep is
  'One batch: {looked_at, warned, breached, escalated: [ticket_number], closed, recalculated, '
  'pruned, more}.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.sweep from public, anon, authenticated, service_role;
grant execute on function desk_private.sweep, desk.sweep to authenticated, service_role;
