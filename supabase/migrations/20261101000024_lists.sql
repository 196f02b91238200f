-- Lists: the tickets of a customer, or the queue.
--
-- Without full text and context filters a list runs as the caller, under RLS. `@@` and `@>` are not
-- leakproof, so under RLS they would lose their indexes. Those two run as the owner, and the
-- statement itself names the visible tickets.

-- Counts the tickets of a list, up to 10,001. Under RLS the count would read 10,000 rows, since no
-- index has the policies' columns. So the owner counts, and the statement names the visible
-- tickets.
create function desk_private.count_tickets(f jsonb) returns integer
language plpgsql stable security definer set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
  is_queue boolean := desk_private.is_agent() and coalesce(f ->> 'scope' = 'queue', true);
  total integer;
begin
  execute format(
    'select count(*) from ('
    'select from desk.support_tickets t where %s and %s limit 10001) as counted',
    desk_private.visible_condition(me, is_queue), desk_private.ticket_condition(f, me))
    into total;
  return total;
end
$$;

create function desk_private.list_tickets(f jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
  is_queue boolean := coalesce(f ->> 'scope' = 'queue', desk_private.is_agent());
  sort_column text := ltrim(f ->> 'sort', '-');
  direction text := case when f ->> 'sort' like '-%' then 'desc' else 'asc' end;
  condition text;
  total integer;
  rows jsonb;
begin
  perform desk_private.fail_fields(desk_private.list_problems(f));
  if is_queue and not desk_private.is_agent() then
    perform desk_private.fail('SD403', 'The queue is for agents; ask for scope=mine.');
  end if;
  if f ? 'q' then
    return desk_private.search_tickets(f, me, is_queue);
  end if;
  condition := desk_private.visible_condition(me, is_queue) || ' and '
    || desk_private.ticket_condition(f, me);
  total := desk_private.count_tickets(f);
  execute format(
    'select coalesce('
    '  jsonb_agg(desk_private.ticket_summary(page) order by page.%1$I %2$s, page.id %2$s), ''[]'') '
    'from ('
    '  select t.* from desk.support_tickets t where %3$s %4$s'
    '  order by t.%1$I %2$s, t.id %2$s limit %5$s offset %6$s'
    ') as page',
    sort_column, direction, condition, desk_private.after_cursor(f, 't.' || sort_column),
    (f ->> 'page_limit')::integer + 1, f ->> 'page_offset')
    into rows;
  return desk_private.list_page(rows, (f ->> 'page_limit')::integer, sort_column)
    || jsonb_build_object('total', least(total, 10000), 'total_is_capped', total > 10000);
end
$$;

create function desk_private.list_tickets_as_owner(f jsonb) returns jsonb
language sql stable security definer set search_path = ''
as $$ select desk_private.list_tickets(f) $$;

comment on function desk_private.list_tickets_as_owner is
  'list_tickets for conditions without an index under RLS; the statement names the visible '
  'tickets.';

create function desk.list_tickets(
  scope text default null, status text[] default null, priority text[] default null,
  category text[] default null, assigned_to text default null, escalated boolean default null,
  created_after timestamptz default null, created_before timestamptz default null,
  context jsonb default null, q text default null, sort text default null, cursor text default null,
  page_offset integer default 0, page_limit integer default 20
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  -- The expression reads the whole text, and list_problems comes later.
  is_number boolean := coalesce(
    case when char_length(q) <= 200 then q ~* '^\s*SUP-[0-9]+\s*$' end, false);
  f jsonb := jsonb_strip_nulls(jsonb_build_object(
    'scope', scope, 'status', status, 'priority', priority, 'category', category,
    'assigned_to', assigned_to, 'escalated', escalated,
    'created_after', created_after, 'created_before', created_before, 'context', context,
    'q', case when not is_number then nullif(btrim(q), '') end,
    'ticket_number', case when is_number then upper(btrim(q)) end,
    'sort', coalesce(sort, '-created_at'), 'cursor', cursor,
    'page_offset', coalesce(page_offset, 0), 'page_limit', coalesce(page_limit, 20)));
begin
  return case
    when f ? 'q' or f ? 'context' then desk_private.list_tickets_as_owner(f)
    else desk_private.list_tickets(f)
  end;
end
$$;

comment on function desk.list_tickets is
  'The caller''s tickets, or the queue for agents: {tickets, total, total_is_capped, next_cursor}.';

revoke execute on all functions in schema desk_private from public;
grant execute on function
  desk_private.list_tickets, desk_private.count_tickets, desk_private.list_tickets_as_owner
to authenticated;
revoke all on function desk.list_tickets from public, anon, authenticated, service_role;
grant execute on function desk.list_tickets to authenticated;
