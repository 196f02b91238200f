-- Limits: quotas, idempotency keys and received webhooks. The database counts, so they hold across
-- instances and races.

-- A sliding window: at most `most` within any `period`, not per clock hour, which would allow twice
-- as many around the hour.
create table desk_private.quota_limits (
  kind text primary key,
  most integer not null check (most between 0 and 10000),
  period interval not null check (period > interval '0')
);

insert into desk_private.quota_limits (kind, most, period) values
  ('bug', 5, '1 hour'),
  ('support', 5, '1 hour'),
  ('feedback', 10, '1 hour'),
  ('chatbot', 30, '1 hour'),
  ('other', 30, '1 hour'),
  ('contact', 10, '1 hour'),
  ('ai_transfer', 30, '1 hour'),
  ('anonymous_contact', 5, '1 hour'),
  ('anonymous_recipient', 5, '1 hour'),
  ('message', 60, '1 hour'),
  ('analysis', 600, '1 hour'),
  ('notifications', 600, '1 hour');

create table desk_private.quotas (
  who text not null,
  kind text not null references desk_private.quota_limits (kind) on delete cascade,
  used_at timestamptz[] not null,
  primary key (who, kind)
)
with (
  -- Most rows change within minutes: a fifth of a large table is too long to wait.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05
);

create index quotas_kind on desk_private.quotas (kind);

-- One row per person and kind, updated only while there is room: its lock serialises racing calls.
-- It keeps the latest `most` times. There is room if fewer are stored, or if the oldest has left
-- the window.
create function desk_private.spend_quota(who text, kind text) returns void
language plpgsql security definer set search_path = '' as $$
declare
  rule desk_private.quota_limits;
  oldest timestamptz := now();
begin
  select l.* into strict rule from desk_private.quota_limits l where l.kind = spend_quota.kind;
  if rule.most > 0 then
    insert into desk_private.quotas as q (who, kind, used_at)
    values (spend_quota.who, spend_quota.kind, array[now()])
    on conflict on constraint quotas_pkey do update
      set used_at = (q.used_at || now())[greatest(1, cardinality(q.used_at) + 2 - rule.most):]
      where coalesce(
        q.used_at[cardinality(q.used_at) + 1 - rule.most] <= now() - rule.period, true);
    if found then
      return;
    end if;
    select q.used_at[cardinality(q.used_at) + 1 - rule.most] into oldest
    from desk_private.quotas q where q.who = spend_quota.who and q.kind = spend_quota.kind;
  end if;
  perform desk_private.fail(
    'SD429',
    format('That is more than %s in %s. Try again later.', rule.most,
      case rule.period when interval '1 hour' then 'an hour' else rule.period::text end),
    jsonb_build_object(
      'retry_after', greatest(1, ceil(extract(epoch from oldest + rule.period - now()))::integer))
  );
end
$$;

-- Idempotency keys: the same key and request give the stored answer for 24 hours.
create table desk_private.idempotency (
  caller text not null,
  action text not null,
  key text not null,
  request_sha256 text not null,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (caller, action, key)
);

create index idempotency_created on desk_private.idempotency (created_at);

-- Returns null for a new key, which is now claimed until the transaction ends; else the stored
-- answer. A concurrent call with the same key waits at the insert until the first commits or rolls
-- back.
create function desk_private.replayed_answer(
  caller text, action text, key text, request jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  earlier desk_private.idempotency;
  request_sha256 text;
begin
  if replayed_answer.key is null then
    return null;
  end if;
  request_sha256 := desk_private.sha256(request::text);
  if replayed_answer.key !~ '^[\x21-\x7e]{1,255}$' then
    perform desk_private.fail_fields(
      desk_private.problem(
        'idempotency_key', 'must be 1 to 255 printable ASCII characters without blanks'));
  end if;
  insert into desk_private.idempotency as i (caller, action, key, request_sha256)
  values (replayed_answer.caller, replayed_answer.action, replayed_answer.key, request_sha256)
  on conflict on constraint idempotency_pkey do update
    set request_sha256 = excluded.request_sha256, answer = null, created_at = now()
    where i.created_at < now() - interval '24 hours';
  if found then
    return null;
  end if;
  select i.* into strict earlier from desk_private.idempotency i
  where i.caller = replayed_answer.caller and i.action = replayed_answer.action
    and i.key = replayed_answer.key;
  if earlier.request_sha256 <> request_sha256 then
    perform desk_private.fail(
      'SD093', 'This Idempotency-Key was used with another request; use a new one.');
  end if;
  return earlier.answer;
end
$$;

create function desk_private.remember_answer(
  caller text, action text, key text, answer jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  if remember_answer.key is not null then
    update desk_private.idempotency i
    set answer = remember_answer.answer
    where i.caller = remember_answer.caller and i.action = remember_answer.action
      and i.key = remember_answer.key;
  end if;
  return remember_answer.answer;
end
$$;

-- Received webhooks: each sender numbers its deliveries, so that a repeated one does nothing.
create table desk_private.received_webhooks (
  source text not null,
  delivery text not null,
  received_at timestamptz not null default now(),
  primary key (source, delivery)
);

create index received_webhooks_received on desk_private.received_webhooks (received_at);

create function desk_private.is_first_delivery(source text, delivery text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  insert into desk_private.received_webhooks (source, delivery)
  values (is_first_delivery.source, is_first_delivery.delivery)
  on conflict do nothing;
  return found;
end
$$;

revoke execute on all functions in schema desk_private from public;
