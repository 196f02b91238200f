-- The sweep: warns of what is about to be missed, escalates what is, closes what has been resolved
-- for a week, applies changed policies, and prunes what has aged.
--
-- One set-based statement a batch. Rows that somebody else is working on are skipped, so two sweeps
-- side by side, or a sweep and an agent, never wait for each other and never do a thing twice; a
-- skipped row is still due at the next sweep.

create function private.sweep_due(batch integer) returns jsonb
language sql security definer set search_path = '' as $$
  with due as materialized (
    select c.ticket_id, t.status, t.escalated, t.resolved_at, c.warn_minutes,
      c.first_response_due, c.first_response_warned_at, c.first_response_breached_at,
      c.resolution_due, c.resolution_warned_at, c.resolution_breached_at,
      t.first_responded_at is null and not private.is_settled(t.status) as awaits_response,
      c.running_since is not null as is_running
    from private.ticket_clocks c
    join public.support_tickets t on t.id = c.ticket_id
    where c.next_at <= now()
    order by c.next_at
    limit batch
    for no key update of c, t skip locked
  ), verdict as (
    select d.*,
      coalesce(
        awaits_response and first_response_breached_at is null and first_response_due <= now(),
        false) as misses_response,
      coalesce(
        is_running and resolution_breached_at is null and resolution_due <= now(),
        false) as misses_resolution,
      coalesce(status = 'resolved' and private.closing_time(resolved_at) <= now(), false) as closes,
      coalesce(awaits_response and first_response_warned_at is null and first_response_due > now()
        and private.look_at(first_response_due, warn_minutes, false, false) <= now(),
        false) as warns_response,
      coalesce(is_running and resolution_warned_at is null and resolution_due > now()
        and private.look_at(resolution_due, warn_minutes, false, false) <= now(),
        false) as warns_resolution
    from due d
  ), clocked as (
    update private.ticket_clocks c
    set
      first_response_warned_at =
        case when v.warns_response then now() else c.first_response_warned_at end,
      first_response_breached_at =
        case when v.misses_response then v.first_response_due else c.first_response_breached_at end,
      resolution_warned_at =
        case when v.warns_resolution then now() else c.resolution_warned_at end,
      resolution_breached_at =
        case when v.misses_resolution then v.resolution_due else c.resolution_breached_at end,
      next_at = case
        when v.closes then null
        when v.status = 'resolved' then private.closing_time(v.resolved_at)
        else least(
          case when v.awaits_response then private.look_at(
            v.first_response_due, v.warn_minutes,
            v.warns_response or v.first_response_warned_at is not null,
            v.misses_response or v.first_response_breached_at is not null) end,
          case when v.is_running then private.look_at(
            v.resolution_due, v.warn_minutes,
            v.warns_resolution or v.resolution_warned_at is not null,
            v.misses_resolution or v.resolution_breached_at is not null) end)
      end
    from verdict v
    where c.ticket_id = v.ticket_id
  ), changed as (
    update public.support_tickets t
    set escalated = t.escalated or v.misses_response or v.misses_resolution,
      status = case when v.closes then 'closed' else t.status end
    from verdict v
    where t.id = v.ticket_id
      and (v.closes or ((v.misses_response or v.misses_resolution) and not v.escalated))
    returning t.ticket_number, v.closes
  ), news as (
    insert into private.staff_news (kind, ticket_id)
    select
      case when misses_response or misses_resolution then 'breached' else 'due_soon' end, ticket_id
    from verdict
    where misses_response or misses_resolution or warns_response or warns_resolution
  )
  select jsonb_build_object(
    'looked_at', (select count(*) from due),
    'warned', (select count(*) from verdict
      where (warns_response or warns_resolution) and not (misses_response or misses_resolution)),
    'breached', (select count(*) from verdict where misses_response or misses_resolution),
    'escalated', (
      select coalesce(jsonb_agg(ticket_number order by ticket_number), '[]') from changed
      where not closes),
    'closed', (select count(*) from changed where closes))
$$;

-- Clocks that were worked out under an earlier revision of policies and calendars. Both rows come
-- from under the lock: what an agent has changed since the statement began is in them.
create function private.sweep_policies(batch integer) returns integer
language sql security definer set search_path = '' as $$
  with stale as materialized (
    select t, c
    from private.ticket_clocks c
    join public.support_tickets t on t.id = c.ticket_id
    where c.revision < (private.setting('sla_revision') #>> '{}')::integer
      and (c.next_at is not null or c.running_since is not null)
    order by c.revision
    limit batch
    for no key update of c, t skip locked
  ), applied as (
    update private.ticket_clocks k
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
    cross join lateral private.recalculated(stale.t, stale.c) as r
    where k.ticket_id = r.ticket_id
    returning 1
  )
  select count(*)::integer from applied
$$;

create function private.prune(batch integer) returns integer
language sql security definer set search_path = '' as $$
  with keys as (
    delete from private.idempotency i where (i.caller, i.action, i.key) in (
      select old.caller, old.action, old.key from private.idempotency old
      where old.created_at < now() - interval '24 hours' limit batch)
    returning 1
  ), spent as (
    delete from private.quotas q where (q.who, q.kind) in (
      select old.who, old.kind from private.quotas old join private.quota_limits l using (kind)
      where old.used_at[cardinality(old.used_at)] < now() - l.period limit batch)
    returning 1
  ), sent as (
    delete from private.outbox b where b.id in (
      select old.id from private.outbox old
      where old.state = 'done' and old.settled_at < now() - interval '30 days' limit batch)
    returning 1
  ), seen as (
    delete from public.notifications n where n.id in (
      select old.id from public.notifications old where old.read_at < now() - interval '30 days'
      limit batch)
    returning 1
  ), received as (
    delete from private.received_webhooks d where (d.source, d.delivery) in (
      select old.source, old.delivery from private.received_webhooks old
      where old.received_at < now() - interval '30 days' limit batch)
    returning 1
  )
  select ((select count(*) from keys) + (select count(*) from spent) + (select count(*) from sent)
    + (select count(*) from seen) + (select count(*) from received))::integer
$$;

create function private.sweep(batch integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  recalculated integer;
  pruned integer;
  due jsonb;
begin
  if not private.is_service() then
    perform private.require_agent();
  end if;
  perform set_config('supadesk.actor', 'system', true);
  recalculated := private.sweep_policies(batch);
  due := private.sweep_due(batch);
  pruned := private.prune(batch);
  perform set_config('supadesk.actor', '', true);
  return due || jsonb_build_object(
    'recalculated', recalculated, 'pruned', pruned,
    'more', recalculated = batch or (due ->> 'looked_at')::integer = batch or pruned >= batch);
end
$$;

create function public.sweep(batch integer default 1000) returns jsonb
language sql security invoker set search_path = ''
as $$ select private.sweep(least(greatest(batch, 1), 10000)) $$;

comment on function public.sweep is
  'One batch: {looked_at, warned, breached, escalated: [ticket_number], closed, recalculated, '
  'pruned, more}.';

revoke execute on all functions in schema private from public;
revoke all on function public.sweep from public, anon, authenticated, service_role;
grant execute on function private.sweep, public.sweep to authenticated, service_role;
