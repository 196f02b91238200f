-- Reading: lists and one ticket with all that belongs to it.
--
-- A list is one dynamic statement made of the filters that were given, each as a literal, so that
-- every one of them has its index and the planner sees the values. Without full text and context
-- filters it runs as the caller, under RLS; `@@` and `@>` are not leakproof, so under RLS they
-- would lose their indexes: those two run as the owner, and the statement itself says whose tickets
-- they are.

create function private.list_problems(f jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select case when f ->> 'scope' is null then '[]'::jsonb
        else private.choice_problem('scope', f ->> 'scope', '{mine,queue}') end
      || coalesce((
        select jsonb_agg(problem.value)
        from jsonb_array_elements_text(coalesce(f -> 'status', '[]')) as given,
          jsonb_array_elements(private.choice_problem(
            'status', given, '{open,in_progress,waiting_on_customer,resolved,closed}')) as problem
      ), '[]')
      || coalesce((
        select jsonb_agg(problem.value)
        from jsonb_array_elements_text(coalesce(f -> 'priority', '[]')) as given,
          jsonb_array_elements(
            private.choice_problem('priority', given, '{low,medium,high,urgent}')) as problem
      ), '[]')
      || coalesce((
        select jsonb_agg(jsonb_build_object('path', 'category', 'message', 'must be one of ' || (
          select string_agg(slug, ', ' order by position, slug) from public.ticket_categories)))
        from jsonb_array_elements_text(coalesce(f -> 'category', '[]')) as given
        where not exists (select from public.ticket_categories where slug = given)
      ), '[]')
      || case when f ->> 'assigned_to' in ('me', 'none')
          or private.is_uuid(f ->> 'assigned_to') is not false
        then '[]'::jsonb
        else private.problem('assigned_to', 'must be me, none or the id of an agent') end
      || private.choice_problem(
        'sort', f ->> 'sort', '{-created_at,created_at,-updated_at,updated_at}')
      || case
        when (f ->> 'cursor' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z_[0-9a-f-]{36}$')
          is not false
        then '[]'::jsonb
        else private.problem('cursor', 'must be the next_cursor of an earlier answer')
      end
      || case when (f ->> 'page_limit')::integer between 1 and 100
        then '[]'::jsonb else private.problem('page_limit', 'must be 1 to 100') end
      || case when (f ->> 'page_offset')::integer between 0 and 10000
        then '[]'::jsonb
        else private.problem('page_offset', 'must be 0 to 10000; go deeper with cursor') end
      || case when char_length(f ->> 'q') > 200
        then private.problem('q', 'must be at most 200 characters') else '[]'::jsonb end
      || case when jsonb_typeof(f -> 'context') <> 'object'
        then private.problem('context', 'must be an object of key and value') else '[]'::jsonb end
  );
end
$$;

create function private.one_of(field text, given jsonb) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select case count(*) when 0 then null when 1 then format('t.%I = %L', field, min(choice))
      else format('t.%I in (%s)', field, string_agg(quote_literal(choice), ', ')) end
    from jsonb_array_elements_text(
      case when jsonb_typeof(given) = 'array' then given else '[]' end) as choice
  );
end
$$;

-- A query string knows no types, so order_id=5 finds "5" and 5 alike; each way in has the index.
create function private.context_condition(wanted jsonb) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select string_agg(
      format('(t.context @> %L', jsonb_build_object(key, value))
      || case when value ~ '^(-?(0|[1-9][0-9]*)(\.[0-9]+)?|true|false)$'
        then format(' or t.context @> %L)', jsonb_build_object(key, value::jsonb))
        else ')' end, ' and ')
    from jsonb_each_text(
      case when jsonb_typeof(wanted) = 'object' then wanted else '{}' end) as given (key, value)
  );
end
$$;

-- Whose tickets a list shows, as SQL text. It is said in the statement as well as in the policies:
-- the index is then used by what the statement asks, and the owner's rights show nobody else's
-- rows.
create function private.visible_condition(me uuid, is_queue boolean) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when not is_queue then format('t.customer_id = %L', me)
    when private.agent_branch() is not null then format('t.branch_id = %L', private.agent_branch())
    else 'true'
  end;
end
$$;

-- What was asked of a list, as SQL text.
create function private.ticket_condition(f jsonb, me uuid) returns text
language plpgsql stable set search_path = '' as $$
begin
  return concat_ws(' and ',
    't.deleted_at is null',
    private.one_of('status', f -> 'status'),
    private.one_of('priority', f -> 'priority'),
    private.one_of('category', f -> 'category'),
    case f ->> 'assigned_to'
      when 'none' then 't.assigned_to is null'
      when 'me' then format('t.assigned_to = %L', me)
      else 't.assigned_to = ' || quote_literal(f ->> 'assigned_to')
    end,
    case (f ->> 'escalated')::boolean
      when true then 't.escalated'
      when false then 'not t.escalated'
    end,
    't.created_at >= ' || quote_literal((f ->> 'created_after')::timestamptz),
    't.created_at < ' || quote_literal((f ->> 'created_before')::timestamptz),
    private.context_condition(f -> 'context'),
    't.ticket_number = ' || quote_literal(f ->> 'ticket_number')
  );
end
$$;

-- One row more than the page was read, to know whether there is a next one.
create function private.list_page(rows jsonb, page_limit integer, sort_column text) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_build_object(
    'tickets', case when jsonb_array_length(rows) > page_limit then rows - page_limit else rows end,
    'next_cursor', case when jsonb_array_length(rows) > page_limit
      then (rows -> (page_limit - 1) ->> sort_column) || '_'
        || (rows -> (page_limit - 1) ->> 'ticket_id') end
  );
end
$$;

create function private.cursor_moment(f jsonb) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return split_part(f ->> 'cursor', '_', 1);
end
$$;

-- Where a page goes on; `moment` is the column that the list is sorted by.
create function private.after_cursor(f jsonb, moment text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case when f ? 'cursor' then format('and (%s, t.id) %s (%L, %L)',
    moment, case when f ->> 'sort' like '-%' then '<' else '>' end,
    private.cursor_moment(f), split_part(f ->> 'cursor', '_', 2)::uuid) end;
end
$$;

-- Full text. GIN gives hits in no order, and the newest of 300,000 take half a second; walking the
-- tickets from the newest on takes seconds when the word is rare, or has not been used lately. So a
-- common word is looked for in the newest stretch of time first, which the index reads without the
-- rest, and in longer ones until there is enough; a rarer one at once in all.

create function private.search_query(q text, requester uuid) returns tsquery
language plpgsql stable set search_path = '' as $$
declare
  query tsquery := websearch_to_tsquery('pg_catalog.english', q);
begin
  return case
    when numnode(query) = 0 then query
    when requester is not null then query && format('%L', private.customer_mark(requester))::tsquery
    when private.agent_branch() is not null
      then query && format('%L', private.branch_mark(private.agent_branch()))::tsquery
    else query
  end;
end
$$;

-- What was filed from `since` to `until`, as SQL text. For the index on words it is at most 17
-- prefixes of time marks, which reach a little further on either side.
create function private.filed_condition(since timestamptz, until timestamptz) returns text
language plpgsql immutable set search_path = '' as $$
declare
  first bigint := private.time_unit(since);
  last bigint := private.time_unit(until);
  digits integer := 6;
begin
  while last - first > 16 loop
    first := first / 16;
    last := last / 16;
    digits := digits - 1;
  end loop;
  return (
    select format(
      'and s.words @@ %L and s.created_at between %L and %L',
      string_agg(format('%L:*', private.time_mark(unit, digits)), '|'), since, until)
    from generate_series(first, last) as unit
  );
end
$$;

-- What the planner expects, from its statistics of words. Volatile because EXPLAIN is refused
-- elsewhere.
create function private.estimated_rows(statement text) returns double precision
language plpgsql volatile set search_path = '' as $$
declare
  plan jsonb;
begin
  execute 'explain (format json) ' || statement into plan;
  return greatest(1, (plan -> 0 -> 'Plan' ->> 'Plan Rows')::double precision);
end
$$;

-- The first `most` tickets of a search, in its order: from the stretch of time at its beginning
-- that should hold three times as many, and from longer ones while it does not. By time of change
-- there is nothing to cut a stretch from: a common word is found by walking from the last change
-- on, and `offset 0` keeps the planner from doing so for a rare one.
create function private.search_hits(
  f jsonb, condition text, query tsquery, most integer
) returns uuid[]
language plpgsql stable set search_path = '' set random_page_cost = 1.1
  set max_parallel_workers_per_gather = 0 as $$
declare
  direction text := case when f ->> 'sort' like '-%' then 'desc' else 'asc' end;
  by_creation boolean := ltrim(f ->> 'sort', '-') = 'created_at';
  moment text := case when by_creation then 's.created_at' else 't.updated_at' end;
  source text := format(
    'select t.id, %s as moment '
    'from private.ticket_search s join public.support_tickets t on t.id = s.ticket_id '
    'where %s %s',
    moment, condition, private.after_cursor(f, moment));
  share double precision := 3 * most / private.estimated_rows(
    source || format(' and s.words @@ %L', query));
  is_rare boolean := share > 0.1;
  since timestamptz;
  until timestamptz;
  hits uuid[];
begin
  select min(t.created_at), max(t.created_at) into since, until from public.support_tickets t
  where t.deleted_at is null;
  since := greatest(
    since, (f ->> 'created_after')::timestamptz,
    case when direction = 'asc' then private.cursor_moment(f) end);
  until := least(
    until, (f ->> 'created_before')::timestamptz,
    case when direction = 'desc' then private.cursor_moment(f) end);
  loop
    execute format(
      'select array(select hit.id from (%s and s.words @@ %L %s) as hit '
      'order by hit.moment %s, hit.id %4$s limit %5$s)',
      source,
      query,
      case
        when by_creation and share < 0.3 and direction = 'desc'
          then private.filed_condition(until - (until - since) * share, until)
        when by_creation and share < 0.3
          then private.filed_condition(since, since + (until - since) * share)
        when is_rare and not by_creation then 'offset 0'
      end,
      direction,
      most)
      into hits;
    exit when cardinality(hits) = most or share >= 0.3 or not by_creation;
    share := share * 8;
  end loop;
  return hits;
end
$$;

create function private.search_tickets(f jsonb, me uuid, is_queue boolean) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  page_limit integer := f ->> 'page_limit';
  page_offset integer := f ->> 'page_offset';
  countable integer := 200;
  query tsquery := private.search_query(f ->> 'q', case when not is_queue then me end);
  condition text := private.ticket_condition(f, me);
  hits uuid[] := private.search_hits(
    f - 'cursor', condition, query, greatest(countable, page_offset + page_limit) + 1);
  total integer := cardinality(hits);
  rows jsonb;
begin
  if f ? 'cursor' then
    hits := private.search_hits(f, condition, query, page_offset + page_limit + 1);
  end if;
  execute format(
    'select coalesce(jsonb_agg(private.ticket_summary(t) order by hit.place), ''[]'')'
    'from unnest($1) with ordinality as hit (id, place) '
    'join public.support_tickets t using (id) where %s',
    private.visible_condition(me, is_queue))
    into rows using hits[page_offset + 1 : page_offset + page_limit + 1];
  return private.list_page(rows, page_limit, ltrim(f ->> 'sort', '-'))
    || jsonb_build_object('total', least(total, countable), 'total_is_capped', total > countable);
end
$$;

-- How many tickets a list has, 10,001 standing for all that are more. The policies read columns
-- that are in no index, and ten thousand rows for a number is too much: so the owner counts, and
-- the statement says whose tickets. The rows come under RLS.
create function private.count_tickets(f jsonb) returns integer
language plpgsql stable security definer set search_path = '' as $$
declare
  me uuid := private.require_caller();
  is_queue boolean := private.is_agent() and coalesce(f ->> 'scope' = 'queue', true);
  total integer;
begin
  execute format(
    'select count(*) from ('
    'select from public.support_tickets t where %s and %s limit 10001) as counted',
    private.visible_condition(me, is_queue), private.ticket_condition(f, me))
    into total;
  return total;
end
$$;

create function private.list_tickets(f jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  me uuid := private.require_caller();
  is_queue boolean := coalesce(f ->> 'scope' = 'queue', private.is_agent());
  sort_column text := ltrim(f ->> 'sort', '-');
  direction text := case when f ->> 'sort' like '-%' then 'desc' else 'asc' end;
  condition text;
  total integer;
  rows jsonb;
begin
  perform private.fail_fields(private.list_problems(f));
  if is_queue and not private.is_agent() then
    perform private.fail('SD403', 'The queue is for agents; ask for scope=mine.');
  end if;
  if f ? 'q' then
    return private.search_tickets(f, me, is_queue);
  end if;
  condition := private.visible_condition(me, is_queue) || ' and '
    || private.ticket_condition(f, me);
  total := private.count_tickets(f);
  execute format(
    'select coalesce('
    '  jsonb_agg(private.ticket_summary(page) order by page.%1$I %2$s, page.id %2$s), ''[]'') '
    'from ('
    '  select t.* from public.support_tickets t where %3$s %4$s'
    '  order by t.%1$I %2$s, t.id %2$s limit %5$s offset %6$s'
    ') as page',
    sort_column, direction, condition, private.after_cursor(f, 't.' || sort_column),
    (f ->> 'page_limit')::integer + 1, f ->> 'page_offset')
    into rows;
  return private.list_page(rows, (f ->> 'page_limit')::integer, sort_column)
    || jsonb_build_object('total', least(total, 10000), 'total_is_capped', total > 10000);
end
$$;

create function private.list_tickets_as_owner(f jsonb) returns jsonb
language sql stable security definer set search_path = ''
as $$ select private.list_tickets(f) $$;

comment on function private.list_tickets_as_owner is
  'list_tickets for conditions that have no index under RLS; the statement names whose tickets it '
  'reads.';

create function public.list_tickets(
  scope text default null, status text[] default null, priority text[] default null,
  category text[] default null, assigned_to text default null, escalated boolean default null,
  created_after timestamptz default null, created_before timestamptz default null,
  context jsonb default null, q text default null, sort text default null, cursor text default null,
  page_offset integer default 0, page_limit integer default 20
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  is_number boolean := coalesce(q ~* '^\s*SUP-[0-9]+\s*$', false);
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
    when f ? 'q' or f ? 'context' then private.list_tickets_as_owner(f)
    else private.list_tickets(f)
  end;
end
$$;

comment on function public.list_tickets is
  'The caller''s tickets, or the queue for agents: {tickets, total, total_is_capped, next_cursor}.';

-- One ticket, whole.

create function private.ticket_messages_json(
  t public.support_tickets, is_agent boolean
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'message_id', m.id, 'author', m.author,
      'author_name', case m.author
        when 'agent' then a.display_name
        when 'customer' then t.requester_name
      end,
      'body', m.body, 'is_internal', m.is_internal, 'created_at', private.wire_time(m.created_at),
      'is_transcript', m.transcript_place is not null, 'said_at', private.wire_time(m.said_at),
      'attachments', (
        select coalesce(jsonb_agg(f.url order by f.created_at, f.id), '[]')
        from public.ticket_attachments f where f.message_id = m.id
      )
    ) order by m.created_at, m.transcript_place, m.id), '[]')
    from public.ticket_messages m
    left join public.support_agents a on a.user_id = m.author_id
    where m.ticket_id = t.id and (is_agent or not m.is_internal)
  );
end
$$;

create function private.ticket_attachments_json(
  t public.support_tickets, is_agent boolean
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'attachment_id', f.id, 'message_id', f.message_id, 'url', f.url,
      'created_at', private.wire_time(f.created_at)
    ) order by f.created_at, f.id), '[]')
    from public.ticket_attachments f
    where f.ticket_id = t.id and (is_agent or not f.is_internal)
  );
end
$$;

-- A customer reads that the ticket was filed, its changes of status and its replies; an agent reads
-- everything.
create function private.ticket_timeline_json(
  t public.support_tickets, is_agent boolean
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(
      case when is_agent then jsonb_build_object(
        'type', e.type, 'at', private.wire_time(e.created_at), 'actor', e.actor,
        'actor_id', e.actor_id,
        'actor_name', a.display_name,
        'changes', case when e.type = 'created' then '{}'::jsonb
          else e.changes - 'updated_at' - 'version' end)
      else jsonb_strip_nulls(jsonb_build_object(
        'type', e.type, 'at', private.wire_time(e.created_at), 'actor', e.actor,
        'from', e.changes -> 'status' -> 0, 'to', e.changes -> 'status' -> 1))
      end order by e.seq), '[]')
    from public.ticket_events e
    left join public.support_agents a on a.user_id = e.actor_id
    where e.ticket_id = t.id
      and (is_agent or e.type in ('created', 'status_changed', 'replied', 'rated'))
  );
end
$$;

create function private.ticket_metrics_json(
  t public.support_tickets, is_agent boolean
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select jsonb_build_object(
      'age_seconds', floor(extract(epoch from coalesce(t.closed_at, now()) - t.created_at)),
      'first_response_seconds', floor(extract(epoch from t.first_responded_at - t.created_at)),
      'resolution_seconds', floor(
        extract(epoch from coalesce(t.resolved_at, t.closed_at) - t.created_at)),
      'messages', count(*),
      'customer_messages', count(*) filter (where m.author = 'customer'),
      'agent_messages', count(*) filter (where m.author = 'agent'),
      'rating', (select r.rating from public.ticket_ratings r where r.ticket_id = t.id)
    ) || case when is_agent then jsonb_build_object('internal_notes', (
      select count(*) from public.ticket_messages n where n.ticket_id = t.id and n.is_internal))
        else '{}' end
    from public.ticket_messages m
    where m.ticket_id = t.id and not m.is_internal and m.transcript_place is null
  );
end
$$;

create function private.get_ticket(ref text, access_token text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  t public.support_tickets := private.require_ticket(ref, access_token);
  is_agent boolean := private.role_on(t, access_token) = 'agent';
begin
  return private.ticket_summary(t)
    || jsonb_build_object(
      'description', t.description, 'resolution', t.resolution, 'context', t.context,
      'requester_name', t.requester_name, 'requester_email', t.requester_email,
      'resolved_at', private.wire_time(t.resolved_at), 'closed_at', private.wire_time(t.closed_at),
      'version', t.version,
      'sla', private.sla_json(t), 'linear', private.linear_state(t.id),
      'messages', private.ticket_messages_json(t, is_agent),
      'attachments', private.ticket_attachments_json(t, is_agent),
      'timeline', private.ticket_timeline_json(t, is_agent),
      'escalations', (
        select coalesce(jsonb_agg(private.escalation_json(e) order by e.created_at, e.id), '[]')
        from public.escalation_requests e where e.ticket_id = t.id),
      'metrics', private.ticket_metrics_json(t, is_agent))
    || case when is_agent
      then jsonb_build_object('customer_id', t.customer_id, 'branch_id', t.branch_id) else '{}' end;
end
$$;

create function public.get_ticket(ticket text, access_token text default null) returns jsonb
language sql stable security invoker set search_path = ''
as $$ select private.get_ticket(ticket, access_token) $$;

comment on function public.get_ticket is
  'One ticket by number or id, with messages, attachments, timeline and metrics as far as the '
  'caller may see them.';

revoke execute on all functions in schema private from public;
grant execute on function
  private.list_problems, private.visible_condition, private.ticket_condition, private.one_of,
  private.context_condition, private.list_tickets, private.list_page, private.count_tickets,
  private.list_tickets_as_owner, private.cursor_moment, private.after_cursor, private.fail_fields,
  private.problem, private.choice_problem, private.is_uuid
to authenticated;
grant execute on function private.get_ticket to anon, authenticated;
revoke all on function public.list_tickets, public.get_ticket
  from public, anon, authenticated, service_role;
grant execute on function public.list_tickets to authenticated;
grant execute on function public.get_ticket to anon, authenticated;
