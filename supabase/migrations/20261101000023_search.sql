-- Search: full text in tickets and their public messages.
--
-- GIN returns hits in no order, and sorting the newest of 300,000 takes half a second. Walking the
-- tickets from the newest takes seconds if the word is rare. So a common word is searched in the
-- newest stretch of time first, then in longer ones. A rare word is searched in all at once.

create function desk_private.search_query(q text, requester uuid) returns tsquery
language plpgsql stable set search_path = '' as $$
declare
  query tsquery := websearch_to_tsquery('pg_catalog.english', q);
begin
  return case
    when numnode(query) = 0 then query
    when requester is not null
      then query && format('%L', desk_private.customer_mark(requester))::tsquery
    when desk_private.agent_branch() is not null
      then query && format('%L', desk_private.branch_mark(desk_private.agent_branch()))::tsquery
    else query
  end;
end
$$;

-- The filing time as SQL text: at most 17 prefixes of time marks for the index, plus the exact
-- bounds. A prefix names a power of 16 of time units, so the marks reach a little further on either
-- side.
create function desk_private.filed_condition(since timestamptz, until timestamptz) returns text
language plpgsql immutable set search_path = '' as $$
declare
  first bigint := desk_private.time_unit(since);
  last bigint := desk_private.time_unit(until);
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
      string_agg(format('%L:*', desk_private.time_mark(unit, digits)), '|'), since, until)
    from generate_series(first, last) as unit
  );
end
$$;

-- The planner's estimate from its statistics of words. Volatile because EXPLAIN is refused
-- elsewhere.
create function desk_private.estimated_rows(statement text) returns double precision
language plpgsql volatile set search_path = '' as $$
declare
  plan jsonb;
begin
  execute 'explain (format json) ' || statement into plan;
  return greatest(1, (plan -> 0 -> 'Plan' ->> 'Plan Rows')::double precision);
end
$$;

-- The first `most` hits in sort order. By creation: from a stretch of time expected to hold three
-- times as many, and eight times longer while it does not. By update time no stretch can be cut: a
-- common word is found by walking from the latest update. For a rare one `offset 0`, an
-- optimisation fence, prevents that walk. Below 0.3 of all time a stretch pays; a word above 0.1 is
-- rare.
create function desk_private.search_hits(
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
    'from desk_private.ticket_search s join desk.support_tickets t on t.id = s.ticket_id '
    'where %s %s',
    moment, condition, desk_private.after_cursor(f, moment));
  share double precision := 3 * most / desk_private.estimated_rows(
    source || format(' and s.words @@ %L', query));
  is_rare boolean := share > 0.1;
  since timestamptz;
  until timestamptz;
  hits uuid[];
begin
  select min(t.created_at), max(t.created_at) into since, until from desk.support_tickets t
  where t.deleted_at is null;
  since := greatest(
    since, (f ->> 'created_after')::timestamptz,
    case when direction = 'asc' then desk_private.cursor_moment(f) end);
  until := least(
    until, (f ->> 'created_before')::timestamptz,
    case when direction = 'desc' then desk_private.cursor_moment(f) end);
  loop
    execute format(
      'select array(select hit.id from (%s and s.words @@ %L %s) as hit '
      'order by hit.moment %s, hit.id %4$s limit %5$s)',
      source,
      query,
      case
        when by_creation and share < 0.3 and direction = 'desc'
          then desk_private.filed_condition(until - (until - since) * share, until)
        when by_creation and share < 0.3
          then desk_private.filed_condition(since, since + (until - since) * share)
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

create function desk_private.search_tickets(f jsonb, me uuid, is_queue boolean) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  page_limit integer := f ->> 'page_limit';
  page_offset integer := f ->> 'page_offset';
  countable integer := 200;
  query tsquery := desk_private.search_query(f ->> 'q', case when not is_queue then me end);
  condition text := desk_private.ticket_condition(f, me);
  hits uuid[] := desk_private.search_hits(
    f - 'cursor', condition, query, greatest(countable, page_offset + page_limit) + 1);
  total integer := cardinality(hits);
  rows jsonb;
begin
  if f ? 'cursor' then
    hits := desk_private.search_hits(f, condition, query, page_offset + page_limit + 1);
  end if;
  execute format(
    'select coalesce(jsonb_agg(desk_private.ticket_summary(t) order by hit.place), ''[]'')'
    'from unnest($1) with ordinality as hit (id, place) '
    'join desk.support_tickets t using (id) where %s',
    desk_private.visible_condition(me, is_queue))
    into rows using hits[page_offset + 1 : page_offset + page_limit + 1];
  return desk_private.list_page(rows, page_limit, f ->> 'sort')
    || jsonb_build_object('total', least(total, countable), 'total_is_capped', total > countable);
end
$$;

revoke execute on all functions in schema desk_private from public;
