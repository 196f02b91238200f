-- Search: full text in tickets and their messages.
--
-- GIN returns hits in no order, and sorting the newest of 300,000 takes half a second. Walking the
-- tickets from the newest takes seconds if the word is rare. So a common word is searched in the
-- newest stretch of time first, then in longer ones. A rare word is searched in all at once.

-- One term of a search as a phrase of its words, in the text form of a tsquery. `labels` are the
-- weights that count. A number in parts is also found joined.
create function desk_private.term_query(words text[], labels text, is_prefix boolean) returns text
language plpgsql immutable set search_path = '' as $$
declare
  final text := words[cardinality(words)];
  phrase text;
begin
  select string_agg(format('''%s'':%s', desk_private.stem(word), labels), ' <-> ' order by place)
  into phrase
  from unnest(words[: cardinality(words) - 1]) with ordinality as w (word, place);
  phrase := concat_ws(' <-> ', phrase, case
    when is_prefix and char_length(final) >= 3
      then format('(''%s'':%s | ''%s'':*%2$s)', desk_private.stem(final), labels, left(final, 64))
    else format('''%s'':%s', desk_private.stem(final), labels)
  end);
  if cardinality(words) > 1 and array_to_string(words, '') ~ '[0-9]' then
    return format('(%s | ''%s'':%s)', phrase, desk_private.stem(array_to_string(words, '')),
      case when is_prefix then '*' end || labels);
  end if;
  return '(' || phrase || ')';
end
$$;

-- Reads a search as people type it: terms that must all occur, "a phrase", -without, one OR other.
-- A term is a phrase of what the normaliser makes of it. English stop words are left out unless
-- nothing else is asked. With `is_prefix` the last term may be the beginning of a word.
create function desk_private.words_query(q text, labels text, is_prefix boolean) returns tsquery
language plpgsql stable set search_path = '' as $$
declare
  typed text := translate(q, '“”„‟«»', '');
  all_words text[] := desk_private.plain_words(desk_private.plain_text(typed));
  has_content boolean := exists (
    select from unnest(all_words) as word where ts_lexize('pg_catalog.english_stem', word) <> '{}');
  term record;
  words text[];
  joiner text := '';
  formula text := '';
begin
  for term in
    select m[1] = '-' as is_excluded, m[2] is not null as is_quoted, coalesce(m[2], m[3]) as given,
      place = count(*) over () as is_last
    from regexp_matches(typed, '(-?)(?:"([^"]*)"?|(\S+))', 'g') with ordinality as found (m, place)
    order by place
  loop
    words := desk_private.plain_words(desk_private.plain_text(term.given));
    continue when words = '{}';
    if term.given = 'OR' and formula <> '' and not term.is_quoted and not term.is_last then
      joiner := ' | ';
      continue;
    end if;
    continue when has_content and not term.is_quoted and not exists (
      select from unnest(words) as word where ts_lexize('pg_catalog.english_stem', word) <> '{}');
    formula := formula || joiner || case when term.is_excluded then '!' else '' end
      || desk_private.term_query(words, labels,
        is_prefix and term.is_last and not term.is_excluded and not term.is_quoted);
    joiner := ' & ';
  end loop;
  -- A number that was typed in groups.
  if cardinality(all_words) between 2 and 8 and typed !~ '"' and formula !~ '!'
    and not exists (select from unnest(all_words) as word where word !~ '[0-9]')
  then
    formula := format('%s | ''%s'':%s', formula,
      desk_private.stem(array_to_string(all_words, '')), labels);
  end if;
  return formula::tsquery;
end
$$;

-- Internal notes have weight D, and customers search the others.
create function desk_private.search_query(q text, requester uuid, is_prefix boolean) returns tsquery
language plpgsql stable set search_path = '' as $$
declare
  query tsquery := desk_private.words_query(
    q, case when requester is not null then 'ABC' else '' end, is_prefix);
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

-- The last term counts as the beginning of a word only while few tickets have it as a whole. A
-- short beginning has many words, and the index reads all of their lists.
create function desk_private.search_tickets(f jsonb, me uuid, is_queue boolean) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  page_limit integer := f ->> 'page_limit';
  page_offset integer := f ->> 'page_offset';
  countable integer := 200;
  most integer := greatest(countable, page_offset + page_limit) + 1;
  requester uuid := case when not is_queue then me end;
  query tsquery := desk_private.search_query(f ->> 'q', requester, false);
  beginning tsquery := desk_private.search_query(f ->> 'q', requester, true);
  condition text := desk_private.ticket_condition(f, me);
  hits uuid[] := desk_private.search_hits(f - 'cursor', condition, query, most);
  total integer;
  rows jsonb;
begin
  if cardinality(hits) < 20 and beginning <> query then
    query := beginning;
    hits := desk_private.search_hits(f - 'cursor', condition, query, most);
  end if;
  total := cardinality(hits);
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
