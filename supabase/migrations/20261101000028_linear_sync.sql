-- Linear, inbound: the stored state of an issue, and its effects on the ticket.
--
-- News comes as the answer to a send, as a webhook, and by polling. All end in
-- desk_private.store_issue, which accepts only newer states. So each may be lost, late, repeated or
-- out of order.

-- Locks the ticket. `is_new` is false for a foreign issue or old news; `before` is the issue as
-- stored.
create function desk_private.store_issue(
  news jsonb, out is_new boolean, out t desk.support_tickets, out before desk_private.linear_issues
)
language plpgsql security definer set search_path = '' as $$
begin
  is_new := false;
  select s.* into t from desk.support_tickets s where s.id = (news ->> 'issue_id')::uuid
  for no key update;
  select l.* into before from desk_private.linear_issues l where l.ticket_id = t.id;
  -- A removal may have the time of the last change, but not an earlier one: webhooks repeat.
  if before.ticket_id is null
    or (before.changed_at is null
      or (news ->> 'updated_at')::timestamptz > before.changed_at
      or (news ->> 'updated_at')::timestamptz = before.changed_at
        and (news ->> 'removed')::boolean and before.removed_at is null) is not true
  then
    return;
  end if;
  is_new := true;
  update desk_private.linear_issues l
  set identifier = news ->> 'identifier', url = news ->> 'url',
    state_name = news ->> 'state_name', state_type = news ->> 'state_type',
    changed_at = (news ->> 'updated_at')::timestamptz,
    removed_at = case when (news ->> 'removed')::boolean then coalesce(l.removed_at, now()) end
  where l.ticket_id = t.id;
  if before.identifier is null then
    perform desk_private.record_event(
      t.id, 'forwarded', 'system', jsonb_build_object(
        'linear_issue', jsonb_build_array(null, news ->> 'identifier')));
    perform desk_private.enqueue_linear('link', t.id);
  end if;
end
$$;

-- Stores Linear's answer to a sent row. If the ticket or the issue moved meanwhile, the issue is
-- moved once more.
create function desk_private.store_sent_issue(o desk_private.outbox, result jsonb) returns void
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets;
begin
  select (l.t).* into t from desk_private.store_issue(result) l;
  if o.kind = 'state' and desk_private.linear_target_state(t) <> o.payload ->> 'target_state'
    and not desk_private.linear_state_matches(t.status, result ->> 'state_type')
  then
    perform desk_private.enqueue_linear('state', t.id);
  end if;
end
$$;

create function desk_private.note_from_linear(t desk.support_tickets, body text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.post_message(t, 'system', null, left(body, 20000), true, '{}');
end
$$;

-- Moves the ticket after its issue; a transition that the ticket forbids becomes an internal note.
create function desk_private.move_ticket_after_issue(
  t desk.support_tickets, identifier text, state_name text, state_type text
) returns void
language plpgsql security definer set search_path = '' as $$
declare
  target text := case state_type
    when 'completed' then 'resolved'
    when 'canceled' then 'closed'
    when 'duplicate' then 'closed'
    when 'started' then 'in_progress'
  end;
begin
  if t.status = target or (t.status = 'closed' and target = 'resolved')
    or (target is null and not desk_private.is_settled(t.status))
  then
    return;
  elsif exists (
    select from desk_private.status_transitions s
    where s.from_status = t.status and s.to_status = target) then
    update desk.support_tickets s set status = target where s.id = t.id;
  else
    perform desk_private.note_from_linear(t, format(
      'Linear: %s was moved to %s. The ticket stays %s.', identifier, state_name, t.status));
  end if;
end
$$;

-- Our own changes can come back before their row is settled: an issue's first state, or a state
-- just sent. They say nothing of engineers' decisions, so such echoes are ignored.
create function desk_private.is_echo(before desk_private.linear_issues,
  state_type text) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return before.state_type is null and desk_private.linear_state_matches('open', state_type)
    or exists (
      select from desk_private.outbox o
      where o.ordering_key = 'linear:' || before.ticket_id
        and o.state = 'pending' and o.kind = 'state'
        and o.payload ->> 'target_state' = is_echo.state_type);
end
$$;

create function desk_private.receive_issue(news jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  l record;
begin
  select * into l from desk_private.store_issue(news);
  if not l.is_new or (l.t).deleted_at is not null then
    return l.is_new;
  end if;
  if (news ->> 'removed')::boolean then
    if (l.before).removed_at is null then
      perform desk_private.note_from_linear(l.t, format(
        'Linear: %s was removed. The ticket is no longer linked to it.', news ->> 'identifier'));
    end if;
  elsif (l.before).state_type is distinct from news ->> 'state_type'
    and not desk_private.is_echo(l.before, news ->> 'state_type')
  then
    perform desk_private.move_ticket_after_issue(
      l.t, news ->> 'identifier', news ->> 'state_name', news ->> 'state_type');
  end if;
  return true;
end
$$;

-- A comment's id becomes its note's id, so it is stored once; our own comments exist as messages.
create function desk_private.receive_comment(news jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets;
  author text := coalesce(news ->> 'author_name', 'Linear');
begin
  select s.* into t from desk.support_tickets s
  where s.id = (news ->> 'issue_id')::uuid and s.deleted_at is null
    and exists (select from desk_private.linear_issues l where l.ticket_id = s.id)
  for no key update;
  if not found then
    return false;
  end if;
  insert into desk.ticket_messages (id, ticket_id, author, body, is_internal)
  values (
    (news ->> 'comment_id')::uuid, t.id,
    'system', left(format('%s in Linear: %s', author, news ->> 'body'), 20000), true)
  on conflict (id) do nothing;
  if not found then
    return false;
  end if;
  perform desk_private.record_event(t.id, 'noted', 'system');
  return true;
end
$$;

-- Applied in the order of the tickets, so that two calls cannot deadlock.
create function desk_private.apply_linear(issues jsonb, comments jsonb) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  news jsonb;
  applied integer := 0;
begin
  perform set_config('supadesk.actor', 'system', true);
  for news in
    select n.value from jsonb_array_elements(issues || comments) as n
    where desk_private.is_uuid(n.value ->> 'issue_id')
    order by n.value ->> 'issue_id', n.value ? 'comment_id', n.value ->> 'updated_at'
  loop
    applied := applied
      + (case
          when news ? 'comment_id' then desk_private.receive_comment(news)
          else desk_private.receive_issue(news)
        end)::integer;
  end loop;
  perform set_config('supadesk.actor', '', true);
  return applied;
end
$$;

create function desk_private.receive_linear(delivery text, issues jsonb,
  comments jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.require_service();
  perform desk_private.fail_fields(desk_private.text_problem('delivery', delivery, 255));
  if not desk_private.is_first_delivery('linear', delivery) then
    return jsonb_build_object('applied', 0, 'duplicate', true);
  end if;
  return jsonb_build_object('applied', desk_private.apply_linear(issues, comments), 'duplicate',
    false);
end
$$;

create function desk.receive_linear(
  delivery text, issues jsonb default '[]', comments jsonb default '[]'
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.receive_linear(delivery, issues, comments) $$;

comment on function desk.receive_linear is
  'A webhook of Linear: issues as {issue_id, identifier, url, state_name, state_type, updated_at, '
  'removed}, comments as {comment_id, issue_id, body, author_name}.';

-- Takes the turn to poll Linear; `since` is null if another forwarder has it.
-- The teams that have issues, one step of the index for each: a loose index scan.
create function desk_private.linear_teams() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  latest text := (select min(l.team) from desk_private.linear_issues l);
  teams jsonb := '[]';
begin
  while latest is not null loop
    teams := teams || to_jsonb(latest);
    latest := (select min(l.team) from desk_private.linear_issues l where l.team > latest);
  end loop;
  return teams;
end
$$;

create function desk_private.begin_linear_poll(every_seconds integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  since timestamptz;
begin
  perform desk_private.require_service();
  update desk_private.linear_sync s set polled_at = now()
  where s.polled_at < now() - make_interval(secs => every_seconds) and s.paused_until <= now()
    and exists (
      select from desk_private.linear_issues l where l.identifier is not null
        and l.removed_at is null)
  returning s.known_until into since;
  return jsonb_build_object(
    'since', desk_private.wire_time(since), 'until', desk_private.wire_time(now()),
    'teams', case when since is null then '[]' else desk_private.linear_teams() end);
end
$$;

create function desk.begin_linear_poll(every_seconds integer default 50) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.begin_linear_poll(every_seconds) $$;

comment on function desk.begin_linear_poll is
  'Takes the turn to poll Linear: {since, until, teams}. `since` is null if another forwarder has '
  'it.';

-- Stores one page of changes; the last one carries `known_until`. Clocks may differ a little, so
-- the next poll begins a little earlier.
create function desk_private.learn_linear(
  issues jsonb, comments jsonb, known_until timestamptz
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  applied integer;
begin
  perform desk_private.require_service();
  applied := desk_private.apply_linear(issues, comments);
  update desk_private.linear_sync s
  set known_until = greatest(s.known_until, learn_linear.known_until - interval '2 minutes');
  return jsonb_build_object('applied', applied);
end
$$;

create function desk.learn_linear(
  issues jsonb default '[]', comments jsonb default '[]', known_until timestamptz default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.learn_linear(issues, comments, known_until) $$;

comment on function desk.learn_linear is
  'Stores changes that a forwarder found in Linear; known_until comes with the last page.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.receive_linear, desk.begin_linear_poll, desk.learn_linear
  from public, anon, authenticated, service_role;
grant execute on function
  desk_private.receive_linear, desk_private.begin_linear_poll, desk_private.learn_linear,
    desk.receive_linear,
  desk.begin_linear_poll, desk.learn_linear
to service_role;
