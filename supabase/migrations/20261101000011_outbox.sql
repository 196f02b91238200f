-- The outbox: every outgoing message is written here in the transaction that causes it, and
-- delivered later.
--
-- A sender claims rows by lease, calls the vendor outside of a transaction, and settles each row if
-- its lease token still matches. The payload is frozen at the first attempt, so that a retry sends
-- the same. Rows of one ordering key go in order.

create table desk_private.outbox (
  id bigint generated always as identity primary key,
  channel text not null check (channel in ('mail', 'linear')),
  kind text not null,
  ordering_key text not null,
  ticket_id uuid references desk.support_tickets (id) on delete cascade,
  recipient uuid,
  data jsonb not null default '{}',
  payload jsonb,
  state text not null default 'pending' check (state in ('pending', 'done', 'dead')),
  attempts integer not null default 0,
  available_at timestamptz not null default now(),
  lease_token uuid,
  locked_until timestamptz,
  first_attempt_at timestamptz,
  settled_at timestamptz,
  last_error text,
  created_at timestamptz not null default now()
)
with (
  -- Most rows change within minutes: a fifth of a large table is too long to wait.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05
);

create index outbox_claimable on desk_private.outbox (channel, available_at)
  where state = 'pending';
create index outbox_ordering_key on desk_private.outbox (ordering_key, id) where state = 'pending';
create index outbox_ticket on desk_private.outbox (ticket_id);
create index outbox_settled on desk_private.outbox (settled_at) where state = 'done';
create index outbox_dead_settled on desk_private.outbox (settled_at) where state = 'dead';
create index outbox_dead on desk_private.outbox (id) where state = 'dead';
create index outbox_dead_ordering_key on desk_private.outbox (ordering_key, kind)
  where state = 'dead';
-- At most one waiting digest per person; it gathers their news.
create unique index outbox_digest on desk_private.outbox (recipient)
  where kind = 'digest' and state = 'pending' and payload is null;

-- Notices of changes to one requester; many at once become one mail.
create index outbox_notices on desk_private.outbox (recipient)
  where kind in ('assigned', 'status_changed') and state = 'pending' and payload is null;

comment on column desk_private.outbox.ordering_key is
  'Rows of one key are sent one after the other, in the order of their ids.';
comment on column desk_private.outbox.data is
  'The source of the payload; a secret in it is removed once the row is settled.';

-- Leases up to `batch` rows that are ready and first of their ordering key. The lease outlasts a
-- batch, so a row whose sender died comes back. A dead letter of the kind `blocks` holds up the
-- later rows of its key: a comment waits for its issue.
--
-- People take turns: of 25 batches of the longest waiting, everybody's first rows go first, then
-- their second ones. So one person's hundred tickets do not hold up the others.
create function desk_private.claim_outbox(
  for_channel text, batch integer, lease_seconds integer, for_key text default null,
  blocks text default null
) returns setof desk_private.outbox
language sql security definer set search_path = '' as $$
  with waiting as materialized (
    select ready.id, ready.available_at, ready.ticket_id, ready.recipient
    from desk_private.outbox ready
    where ready.channel = for_channel and ready.state = 'pending' and ready.available_at <= now()
      and (ready.locked_until is null or ready.locked_until < now())
      and (for_key is null or ready.ordering_key = for_key)
      and not exists (
        select from desk_private.outbox earlier
        where earlier.ordering_key = ready.ordering_key and earlier.id < ready.id
          and earlier.state = 'pending')
      and not exists (
        select from desk_private.outbox earlier
        where earlier.ordering_key = ready.ordering_key and earlier.id < ready.id
          and earlier.state = 'dead' and earlier.kind = blocks)
    order by ready.available_at, ready.id
    limit batch * 25
  ), turns as materialized (
    select w.id, w.available_at, row_number() over (
      partition by coalesce(t.customer_id, w.ticket_id, w.recipient)
      order by w.available_at, w.id) as turn
    from waiting w left join desk.support_tickets t on t.id = w.ticket_id
  )
  update desk_private.outbox o
  set lease_token = gen_random_uuid(), locked_until = now() + make_interval(secs => lease_seconds),
    attempts = o.attempts + 1, first_attempt_at = coalesce(o.first_attempt_at, now())
  where o.id in (
    select ready.id from desk_private.outbox ready join turns on turns.id = ready.id
    where ready.state = 'pending' and ready.available_at <= now()
      and (ready.locked_until is null or ready.locked_until < now())
    order by turns.turn, turns.available_at, ready.id
    limit batch
    for update of ready skip locked
  )
  returning o.*
$$;

insert into desk_private.settings (key, value) values
  ('outbox_retry_seconds', '10'),
  ('notice_delay_seconds', '5');

-- Retries with exponential backoff and jitter. A mail becomes a dead letter after 23 hours: vendors
-- deduplicate for a day only. Rows for Linear carry an id of their own, and may wait for two weeks.
create function desk_private.settle_row(
  row_id bigint, token uuid, outcome text, error text, retry_after_seconds integer
) returns desk_private.outbox
language plpgsql security definer set search_path = '' as $$
declare
  o desk_private.outbox;
  first_pause real := (desk_private.setting('outbox_retry_seconds') #>> '{}')::real;
begin
  perform desk_private.require_service();
  perform desk_private.fail_fields(desk_private.choice_problem('outcome', outcome,
    '{done,retry,dead}'));
  select b.* into o from desk_private.outbox b
  where b.id = row_id and b.lease_token = token and b.state = 'pending' for update;
  if not found then
    return null;
  end if;
  update desk_private.outbox b
  set state = case
      when outcome = 'retry' then case
        when b.first_attempt_at < now()
          - case b.channel when 'mail' then interval '23 hours' else interval '14 days' end
        then 'dead' else 'pending' end
      else outcome
    end,
    available_at = now() + make_interval(secs => greatest(
      coalesce(retry_after_seconds, 0),
      least(3600, first_pause * 2 ^ least(b.attempts, 20)) * (0.5 + random()))),
    lease_token = null, locked_until = null, last_error = left(error, 500),
    settled_at = case when outcome <> 'retry' then now() end,
    data = case when outcome = 'done' then b.data - 'access_token' else b.data end,
    payload = case when outcome = 'done' then null else b.payload end
  where b.id = o.id;
  return o;
end
$$;

comment on function desk_private.settle_row
  is 'The row as it was, or null when its lease was lost.';

-- The lease of a row as its sender gets it; freezes the payload. Without a payload there is nothing
-- to send: the row is settled, and the result is null.
create function desk_private.lease_row(o desk_private.outbox, payload jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  if payload is null then
    perform desk_private.settle_row(o.id, o.lease_token, 'done', 'nothing left to send', null);
    return null;
  end if;
  update desk_private.outbox b set payload = lease_row.payload where b.id = o.id;
  return jsonb_build_object(
    'id', o.id, 'lease_token', o.lease_token, 'kind', o.kind, 'attempt', o.attempts,
    'payload', payload);
end
$$;

-- Inserts digests in the order of their recipients, so that two of these cannot wait for each other
-- in a circle.
create function desk_private.insert_digests(recipients uuid[]) returns void
language sql security definer set search_path = '' as $$
  insert into desk_private.outbox (channel, kind, ordering_key, recipient, available_at)
  select distinct 'mail', 'digest', 'digest:' || person, person, now() + interval '1 minute'
  from unnest(recipients) as person
  order by person
  on conflict do nothing
$$;

-- A bulk collects the recipients of digests, and inserts all at its end.
create function desk_private.announce_digest(agent uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  collected text := nullif(current_setting('supadesk.digests', true), '');
begin
  if collected is null then
    perform desk_private.insert_digests(array[agent]);
  else
    perform set_config('supadesk.digests', (collected::uuid[] || agent)::text, true);
  end if;
end
$$;

-- Dead letters, for admins.

-- An admin of one branch sees the rows of its tickets; digests belong to no branch.
create function desk_private.list_dead_letters() returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  branch text := desk_private.agent_branch();
begin
  perform desk_private.require_admin();
  return jsonb_build_object('dead_letters', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', o.id, 'channel', o.channel, 'kind', o.kind, 'ticket_id', o.ticket_id,
      'ticket_number', t.ticket_number, 'recipient', o.payload ->> 'to', 'attempts', o.attempts,
      'error', o.last_error, 'created_at', desk_private.wire_time(o.created_at),
      'settled_at', desk_private.wire_time(o.settled_at)
    ) order by o.id)
    from (
      select b.* from desk_private.outbox b
      left join desk.support_tickets s on s.id = b.ticket_id
      where b.state = 'dead' and (branch is null or s.branch_id = branch)
      order by b.id limit 100
    ) o
    left join desk.support_tickets t on t.id = o.ticket_id), '[]'));
end
$$;

create function desk.list_dead_letters() returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.list_dead_letters() $$;

comment on function desk.list_dead_letters is
  'Undeliverable rows, for admins: at most 100, oldest first.';

-- The payload stays frozen: a retry sends what was refused. Only the address of a mail is looked up
-- again, since it may have been the error.
create function desk_private.retry_dead_letter(row_id bigint) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  branch text := desk_private.agent_branch();
begin
  perform desk_private.require_admin();
  update desk_private.outbox o
  set state = 'pending', attempts = 0, first_attempt_at = null, available_at = now(),
    settled_at = null,
    payload = case when o.channel = 'mail' then o.payload - 'to' else o.payload end
  where o.id = row_id and o.state = 'dead' and (
    branch is null or exists (
      select from desk.support_tickets t where t.id = o.ticket_id and t.branch_id = branch));
  if not found then
    perform desk_private.fail('SD404', 'There is no such dead letter.');
  end if;
  return jsonb_build_object('id', row_id, 'state', 'pending');
end
$$;

create function desk.retry_dead_letter(id bigint) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.retry_dead_letter(id) $$;

comment on function desk.retry_dead_letter is 'An admin retries a dead letter.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.list_dead_letters, desk.retry_dead_letter
  from public, anon, authenticated, service_role;
grant execute on function
  desk_private.list_dead_letters, desk_private.retry_dead_letter, desk.list_dead_letters,
  desk.retry_dead_letter
to authenticated;
