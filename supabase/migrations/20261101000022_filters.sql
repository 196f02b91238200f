-- Filters: the conditions of a list as SQL text, and its pages.
--
-- A list is one dynamic statement of the given filters, each as a literal: a custom plan. So every
-- filter has its index, and the planner sees the values.

-- Sizes, before anything walks the values.
create function desk_private.list_size_problems(f jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(problem.value), '[]')
    from unnest('{status,priority,category}'::text[]) as field
    cross join lateral jsonb_array_elements(
      case when jsonb_array_length(f -> field) > 50
        then desk_private.problem(field, 'must have at most 50 values')
        else '[]' end) as problem
  )
  || case
    when f -> 'context' is null then '[]'::jsonb
    when jsonb_typeof(f -> 'context') <> 'object'
      then desk_private.problem('context', 'must be an object of key and value')
    when (select count(*) from jsonb_object_keys(f -> 'context')) > 10
      then desk_private.problem('context', 'must have at most 10 keys')
    else '[]' end
  || case when char_length(f ->> 'q') > 200
    then desk_private.problem('q', 'must be at most 200 characters') else '[]' end;
end
$$;

create function desk_private.list_problems(f jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  too_much jsonb := desk_private.list_size_problems(f);
begin
  if too_much <> '[]' then
    return too_much;
  end if;
  return (
    select case when f ->> 'scope' is null then '[]'::jsonb
        else desk_private.choice_problem('scope', f ->> 'scope', '{mine,queue}') end
      || coalesce((
        select jsonb_agg(problem.value)
        from jsonb_array_elements_text(coalesce(f -> 'status', '[]')) as given,
          jsonb_array_elements(desk_private.choice_problem(
            'status', given, '{open,in_progress,waiting_on_customer,resolved,closed}')) as problem
      ), '[]')
      || coalesce((
        select jsonb_agg(problem.value)
        from jsonb_array_elements_text(coalesce(f -> 'priority', '[]')) as given,
          jsonb_array_elements(
            desk_private.choice_problem('priority', given, '{low,medium,high,urgent}')) as problem
      ), '[]')
      || coalesce((
        select jsonb_agg(jsonb_build_object('path', 'category', 'message', 'must be one of ' || (
          select string_agg(slug, ', ' order by position, slug) from desk.ticket_categories)))
        from jsonb_array_elements_text(coalesce(f -> 'category', '[]')) as given
        where not exists (select from desk.ticket_categories where slug = given)
      ), '[]')
      || case when f ->> 'assigned_to' in ('me', 'none')
          or desk_private.is_uuid(f ->> 'assigned_to') is not false
        then '[]'::jsonb
        else desk_private.problem('assigned_to', 'must be me, none or the id of an agent') end
      || desk_private.choice_problem(
        'sort', f ->> 'sort', '{-created_at,created_at,-updated_at,updated_at}')
      || case
        when (f ->> 'cursor' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z_[0-9a-f-]{36}$')
          is not false
        then '[]'::jsonb
        else desk_private.problem('cursor', 'must be the next_cursor of an earlier answer')
      end
      || case when (f ->> 'page_limit')::integer between 1 and 100
        then '[]'::jsonb else desk_private.problem('page_limit', 'must be 1 to 100') end
      || case when (f ->> 'page_offset')::integer between 0 and 10000
        then '[]'::jsonb
        else desk_private.problem('page_offset', 'must be 0 to 10000; go deeper with cursor') end
  );
end
$$;

create function desk_private.one_of(field text, given jsonb) returns text
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

-- A query string has no types, so order_id=5 matches "5" and 5; both forms use the index.
create function desk_private.context_condition(wanted jsonb) returns text
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

-- The visible tickets as SQL text. The condition repeats the policies: it selects the index, and it
-- protects statements that run as the owner.
create function desk_private.visible_condition(me uuid, is_queue boolean) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case
    when not is_queue then format('t.customer_id = %L', me)
    when desk_private.agent_branch() is not null
      then format('t.branch_id = %L', desk_private.agent_branch())
    else 'true'
  end;
end
$$;

-- The filters of a list as SQL text.
create function desk_private.ticket_condition(f jsonb, me uuid) returns text
language plpgsql stable set search_path = '' as $$
begin
  return concat_ws(' and ',
    't.deleted_at is null',
    desk_private.one_of('status', f -> 'status'),
    desk_private.one_of('priority', f -> 'priority'),
    desk_private.one_of('category', f -> 'category'),
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
    desk_private.context_condition(f -> 'context'),
    't.ticket_number = ' || quote_literal(f ->> 'ticket_number')
  );
end
$$;

-- Reads one row more than the page, to know whether another follows.
create function desk_private.list_page(rows jsonb, page_limit integer,
  sort_column text) returns jsonb
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

create function desk_private.cursor_moment(f jsonb) returns timestamptz
language plpgsql stable set search_path = '' as $$
begin
  return split_part(f ->> 'cursor', '_', 1);
end
$$;

-- The keyset condition of the next page; `moment` is the sort column.
create function desk_private.after_cursor(f jsonb, moment text) returns text
language plpgsql stable set search_path = '' as $$
begin
  return case when f ? 'cursor' then format('and (%s, t.id) %s (%L, %L)',
    moment, case when f ->> 'sort' like '-%' then '<' else '>' end,
    desk_private.cursor_moment(f), split_part(f ->> 'cursor', '_', 2)::uuid) end;
end
$$;

revoke execute on all functions in schema desk_private from public;
grant execute on function
  desk_private.list_problems, desk_private.list_size_problems, desk_private.visible_condition,
    desk_private.ticket_condition,
    desk_private.one_of,
  desk_private.context_condition, desk_private.list_page, desk_private.cursor_moment,
    desk_private.after_cursor,
  desk_private.fail_fields, desk_private.problem, desk_private.choice_problem, desk_private.is_uuid
to authenticated;
