-- Updating: agents change a ticket or a hundred; admins delete.

create function desk_private.change_problems(changes jsonb) returns jsonb
language sql stable set search_path = '' as $$
  select case
    when jsonb_typeof(changes) is distinct from 'object'
      then desk_private.problem('changes', 'must be an object')
    when (select count(*) from jsonb_object_keys(changes)) > 40
      then desk_private.problem('changes', 'must have at most 40 keys')
    else coalesce((
      select jsonb_agg(jsonb_build_object('path', left(k, 63), 'message',
        'is not something to change: status, priority, category, assigned_to, resolution are'))
      from jsonb_object_keys(changes) as k
      where k <> all ('{status,priority,category,assigned_to,resolution}')
    ), '[]')
    || case when changes ? 'status'
      then desk_private.status_problem('status', changes ->> 'status') else '[]'::jsonb end
    || case when changes ? 'priority'
      then desk_private.priority_problem('priority', changes ->> 'priority') else '[]'::jsonb end
    || case when changes ? 'category'
      then desk_private.category_problem('category', changes ->> 'category') else '[]'::jsonb end
    || case when jsonb_typeof(changes -> 'resolution') in ('string', 'null') is not false
      then desk_private.text_problem('resolution', changes ->> 'resolution', 20000, false)
      else desk_private.problem('resolution', 'must be a string') end
  end
$$;

create function desk_private.wanted_agent(t desk.support_tickets, changes jsonb) returns uuid
language sql volatile security definer set search_path = '' as $$
  select case
    when not changes ? 'assigned_to' then t.assigned_to
    when changes ->> 'assigned_to' is null then null
    when changes ->> 'assigned_to' = 'auto' then desk_private.least_loaded_agent(t)
    else desk_private.assignable_agent(t, changes ->> 'assigned_to')
  end
$$;

create function desk_private.updated_ticket_json(t desk.support_tickets,
  changes jsonb) returns jsonb
language sql stable set search_path = '' as $$
  select desk_private.ticket_summary(t) || jsonb_build_object(
    'resolution', t.resolution, 'version', t.version,
    'assigned_at', desk_private.wire_time(t.assigned_at),
    'resolved_at', desk_private.wire_time(t.resolved_at), 'closed_at',
      desk_private.wire_time(t.closed_at),
    'assignment', case when changes ->> 'assigned_to' = 'auto' then
      case when t.assigned_to is null
        then 'no agent has the skill and room; the ticket is unassigned' else 'assigned' end
    end)
$$;

-- Checks changes for one ticket or many, and takes the turn for automatic assignment.
create function desk_private.prepare_changes(changes jsonb, note text) returns void
language plpgsql set search_path = '' as $$
begin
  perform desk_private.fail_fields(
    desk_private.change_problems(changes) || desk_private.text_problem('note', note, 20000, false));
  if changes ->> 'assigned_to' = 'auto' then
    perform desk_private.lock_assignment();
  end if;
end
$$;

-- Changes one ticket; the caller has checked the agent and the changes.
create function desk_private.change_ticket(
  ref text, changes jsonb, expected_version integer, note text, notify_customer boolean
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets;
  updated desk.support_tickets;
begin
  t := desk_private.require_ticket(ref, for_change => true);
  perform desk_private.require_agent_on(t);
  if t.version <> expected_version then
    return desk_private.refusal(
      409, 'SD092',
      format('The ticket has changed: its version is %s, not %s.', t.version, expected_version),
      jsonb_build_object('current', desk_private.updated_ticket_json(t, '{}')));
  end if;
  perform set_config('supadesk.actor', 'agent', true),
    set_config('supadesk.quiet', case when notify_customer is false then 'on' else '' end, true);
  updated := t;
  updated.status := coalesce(changes ->> 'status', t.status);
  updated.priority := coalesce(changes ->> 'priority', t.priority);
  updated.category := coalesce(changes ->> 'category', t.category);
  updated.resolution := case
    when changes ? 'resolution' then changes ->> 'resolution' else t.resolution end;
  updated.assigned_to := desk_private.wanted_agent(t, changes);
  -- An idle change moves no version: a colleague's open form stays fresh.
  if updated is distinct from t then
    update desk.support_tickets s
    set status = updated.status, priority = updated.priority, category = updated.category,
      resolution = updated.resolution, assigned_to = updated.assigned_to, version = s.version + 1,
      first_responded_at = case
        when updated.status = 'resolved' and t.status <> 'resolved'
          and updated.resolution is not null and notify_customer is not false
          and desk_private.author_on(t) = 'agent'
          then coalesce(s.first_responded_at, now())
        else s.first_responded_at end
    where s.id = t.id
    returning s.* into t;
  end if;
  if note is not null then
    perform desk_private.post_message(t, 'agent', desk_private.caller(), note, true, '{}');
  end if;
  perform set_config('supadesk.actor', '', true), set_config('supadesk.quiet', '', true);
  return desk_private.updated_ticket_json(t, changes);
end
$$;

create function desk_private.update_ticket(
  ref text, changes jsonb, expected_version integer, note text, notify_customer boolean
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.require_agent();
  perform desk_private.prepare_changes(changes, note);
  return desk_private.change_ticket(ref, changes, expected_version, note, notify_customer);
end
$$;

create function desk.update_ticket(
  ticket text, changes jsonb, expected_version integer default null, note text default null,
  notify_customer boolean default true
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.update_ticket(ticket, changes, expected_version, note,
  notify_customer) $$;

comment on function desk.update_ticket is
  'An agent changes status, priority, category, assigned_to (id, me, auto, null) or resolution, '
  'and may leave a note.';

-- Each ticket succeeds or fails by itself. They are locked in the order of their ids, so that two
-- bulk updates cannot deadlock.
create function desk_private.update_tickets(
  refs text[], changes jsonb, note text, notify_customer boolean
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  ref text;
  outcome jsonb;
  outcomes jsonb := '[]';
  state text;
  message text;
  detail text;
begin
  perform desk_private.require_agent();
  if (cardinality(refs) between 1 and 100) is not true then
    perform desk_private.fail_fields(desk_private.problem('tickets', 'must name 1 to 100 tickets'));
  end if;
  perform desk_private.prepare_changes(changes, note);
  perform set_config('supadesk.digests', '{}', true);
  -- However often and in whichever spelling a ticket is named, it changes once.
  for ref in
    select named.ref from (
      select distinct on (coalesce(found.id::text, lower(given.ref))) given.ref, found.id
      from unnest(refs) with ordinality as given (ref, place)
      cross join lateral desk_private.find_ticket(given.ref) as found
      order by coalesce(found.id::text, lower(given.ref)), given.place
    ) as named
    order by named.id, named.ref
  loop
    begin
      outcome := jsonb_build_object(
        'ok', true, 'result',
          desk_private.change_ticket(ref, changes, null, note, notify_customer));
    exception when others then
      get stacked diagnostics state = returned_sqlstate, message = message_text,
        detail = pg_exception_detail;
      if state !~ '^SD' then
        raise;
      end if;
      outcome := jsonb_build_object(
        'ok', false, 'sqlstate', state, 'message', message, 'details', nullif(detail, '')::jsonb);
    end;
    outcomes := outcomes || (outcome || jsonb_build_object('ticket', ref));
  end loop;
  perform desk_private.insert_digests(current_setting('supadesk.digests')::uuid[]),
    set_config('supadesk.digests', '', true);
  return jsonb_build_object('outcomes', outcomes);
end
$$;

create function desk.update_tickets(
  tickets text[], changes jsonb, note text default null, notify_customer boolean default true
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.update_tickets(tickets, changes, note, notify_customer) $$;

comment on function desk.update_tickets is
  'update_ticket for up to 100 tickets: {outcomes: [{ticket, ok, result | sqlstate, message, '
  'details}]}.';

create function desk_private.delete_ticket(ref text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets;
begin
  perform desk_private.require_admin();
  t := desk_private.require_ticket(ref, for_change => true);
  perform desk_private.require_agent_on(t);
  update desk.support_tickets s set deleted_at = now(), version = s.version + 1 where s.id = t.id
  returning s.* into t;
  return jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number,
    'deleted_at', desk_private.wire_time(t.deleted_at));
end
$$;

create function desk.delete_ticket(ticket text) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.delete_ticket(ticket) $$;

comment on function desk.delete_ticket is 'An admin hides a ticket; its row and history stay.';

create function desk_private.review_feedback(
  feedback text, status text, admin_response text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  f desk.user_feedback;
  branch text := desk_private.agent_branch();
begin
  perform desk_private.require_agent();
  perform desk_private.fail_fields(
    case when status is null then '[]'::jsonb
      else desk_private.choice_problem('status', status,
        '{received,reviewed,planned,done,declined}') end
    || desk_private.text_problem('admin_response', admin_response, 20000, false));
  update desk.user_feedback u
  set status = coalesce(
    review_feedback.status, case when u.status = 'received' then 'reviewed' else u.status end),
    admin_response = coalesce(review_feedback.admin_response, u.admin_response),
    reviewed_at = now()
  where u.id = case when desk_private.is_uuid(feedback) then feedback::uuid end
    and (branch is null or u.branch_id = branch)
  returning u.* into f;
  if not found then
    perform desk_private.fail('SD404', 'There is no such feedback.');
  end if;
  return jsonb_build_object(
    'feedback_id', f.id, 'category', f.category, 'description', f.description, 'rating', f.rating,
    'status', f.status,
    'admin_response', f.admin_response, 'reviewed_at', desk_private.wire_time(f.reviewed_at),
    'created_at', desk_private.wire_time(f.created_at));
end
$$;

create function desk.review_feedback(
  feedback text, status text default null, admin_response text default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.review_feedback(feedback, status, admin_response) $$;

comment on function desk.review_feedback is
  'An agent reviews a piece of feedback; without a status a new one becomes reviewed.';

revoke execute on all functions in schema desk_private from public;
revoke all on function
  desk.update_ticket, desk.update_tickets, desk.delete_ticket, desk.review_feedback
from public, anon, authenticated, service_role;
grant execute on function
  desk_private.update_ticket, desk_private.update_tickets, desk_private.delete_ticket,
    desk_private.review_feedback,
  desk.update_ticket, desk.update_tickets, desk.delete_ticket, desk.review_feedback
to authenticated;
