-- Settling: a sender reports what became of a row, and the vendor's answer is stored by channel.

create function desk_private.settle_outbox(
  row_id bigint, token uuid, outcome text, error text, retry_after_seconds integer, result jsonb
) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  o desk_private.outbox := desk_private.settle_row(row_id, token, outcome, error,
    retry_after_seconds);
begin
  if outcome = 'done' and result is not null then
    case o.channel
      when 'linear' then perform desk_private.store_sent_issue(o, result);
      else null;
    end case;
  end if;
  return o.id is not null;
end
$$;

create function desk.settle_outbox(
  row_id bigint, token uuid, outcome text, error text default null,
  retry_after_seconds integer default null, result jsonb default null
) returns jsonb
language sql security invoker set search_path = '' as $$
  select jsonb_build_object(
    'settled', desk_private.settle_outbox(row_id, token, outcome, error, retry_after_seconds,
      result))
$$;

comment on function desk.settle_outbox is
  'A sender reports the outcome of a row (done, retry or dead) and the vendor''s answer. False if '
  'its lease was lost.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.settle_outbox from public, anon, authenticated, service_role;
grant execute on function desk_private.settle_outbox, desk.settle_outbox to service_role;
