-- Answering: replies, internal notes, the customer's rating and "solved, thanks".

-- Renders an agent's template with the variables of the ticket and those of the request.
create function desk_private.rendered_reply(
  t desk.support_tickets, body text, template text, variables jsonb
) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if desk_private.role_on(t) is distinct from 'agent' then
    perform desk_private.fail('SD403', 'Only agents reply with templates.');
  end if;
  perform desk_private.fail_fields(
    case when body is not null
      then desk_private.problem('template', 'and body exclude each other; send one')
        else '[]'::jsonb end
    || case when jsonb_typeof(variables) = 'object' then '[]'::jsonb
      else desk_private.problem('variables', 'must be an object of name and text') end);
  return desk_private.render_template(
    template, variables || desk_private.template_variables(t, desk_private.caller()));
end
$$;

-- The author of a message: an agent on a ticket of someone else, the customer on their own.
create function desk_private.author_on(t desk.support_tickets) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select case
      when desk_private.role_on(t) = 'agent' and t.customer_id is distinct
        from desk_private.caller()
        then 'agent' else 'customer' end
  );
end
$$;

-- Writes a message and its effects on the ticket. A note changes nothing that a customer can see,
-- not even a timestamp. A customer's reply reopens the ticket.
create function desk_private.post_message(
  t desk.support_tickets, author text, author_id uuid, body text, is_internal boolean,
  attachments text[]
) returns desk.ticket_messages
language plpgsql security definer set search_path = '' as $$
declare
  message desk.ticket_messages;
begin
  insert into desk.ticket_messages (ticket_id, author, author_id, body, is_internal)
  values (t.id, author, author_id, body, is_internal)
  returning * into message;
  insert into desk.ticket_attachments (ticket_id, message_id, url, is_internal)
  select t.id, message.id, url, message.is_internal from unnest(attachments) as url;
  if is_internal then
    perform desk_private.record_event(t.id, 'noted', author);
  else
    update desk.support_tickets s
    set last_response_at = message.created_at,
      first_responded_at = case
        when author = 'agent' then coalesce(s.first_responded_at, message.created_at)
        else s.first_responded_at end,
      status = case
        when author <> 'customer' then s.status
        when s.status = 'waiting_on_customer' then 'in_progress'
        when s.status in ('resolved', 'closed') then 'open'
        else s.status
      end
    where s.id = t.id;
  end if;
  return message;
end
$$;

create function desk_private.add_message(
  ref text, body text, is_internal boolean, attachments text[], template text, variables jsonb,
  access_token text, idempotency_key text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets := desk_private.require_ticket(ref, access_token, for_change => true);
  author text := desk_private.author_on(t);
  caller text := coalesce(desk_private.caller()::text, 'ticket:' || t.id);
  answer jsonb;
  message desk.ticket_messages;
begin
  if is_internal and desk_private.role_on(t) is distinct from 'agent' then
    perform desk_private.fail('SD403', 'Only agents write internal notes.');
  end if;
  if desk_private.caller() is null and desk_private.is_uuid(idempotency_key) is false then
    perform desk_private.fail_fields(
      desk_private.problem('idempotency_key', 'must be a UUID when nobody is signed in'));
  end if;
  answer := desk_private.replayed_answer(caller, 'add_message', idempotency_key,
    jsonb_build_array(t.id, body, is_internal, attachments, template, variables));
  if answer is not null then
    return answer;
  end if;
  if template is not null then
    body := desk_private.rendered_reply(t, body, template, variables);
  end if;
  perform desk_private.fail_fields(
    desk_private.text_problem('body', body, 20000) || desk_private.url_problems('attachments',
      attachments));
  if author = 'customer' then
    perform desk_private.spend_quota(caller, 'message');
  end if;
  message := desk_private.post_message(
    t, case when is_internal then 'agent' else author end, desk_private.caller(), body, is_internal,
    attachments);
  select s.* into t from desk.support_tickets s where s.id = t.id;
  return desk_private.remember_answer(caller, 'add_message', idempotency_key, jsonb_build_object(
    'message_id', message.id, 'ticket_id', t.id, 'ticket_number', t.ticket_number,
    'status', t.status, 'author', message.author, 'is_internal', message.is_internal,
    'created_at', desk_private.wire_time(message.created_at)));
end
$$;

create function desk.add_message(
  ticket text, body text default null, is_internal boolean default false,
  attachments text[] default '{}', template text default null, variables jsonb default '{}',
  access_token text default null, idempotency_key text default null
) returns jsonb
language sql security invoker set search_path = '' as $$
  select desk_private.add_message(
    ref => ticket, body => body, is_internal => coalesce(is_internal, false),
    attachments => coalesce(attachments, '{}'), template => template,
    variables => coalesce(variables, '{}'), access_token => access_token,
    idempotency_key => idempotency_key)
$$;

comment on function desk.add_message is
  'A reply to a ticket, or an agent''s internal note; a customer''s reply reopens it.';

-- Returns the ticket for its requester; agents cannot rate or close their customers' tickets.
create function desk_private.require_own_ticket(
  ref text, access_token text
) returns desk.support_tickets
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets := desk_private.require_ticket(ref, access_token, for_change => true);
begin
  if t.customer_id is distinct from desk_private.caller()
    and not desk_private.token_opens(t, access_token) then
    perform desk_private.fail('SD403', 'Only the requester of the ticket may do this.');
  end if;
  return t;
end
$$;

-- Whether the person, as an agent, was the last to resolve or close the ticket.
create function desk_private.was_settled_by(t desk.support_tickets, person uuid) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  return coalesce((
    select e.actor_id = person from desk.ticket_events e
    where e.ticket_id = t.id and e.actor = 'agent' and e.type = 'status_changed'
      and e.changes -> 'status' ->> 1 in ('resolved', 'closed')
    order by e.seq desc
    limit 1), false);
end
$$;

create function desk_private.rate_ticket(
  ref text, rating integer, comment text, access_token text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets := desk_private.require_own_ticket(ref, access_token);
begin
  perform desk_private.fail_fields(
    case when rating between 1 and 5 then '[]'::jsonb
      else desk_private.problem('rating', 'must be 1 to 5') end
    || desk_private.text_problem('comment', comment, 2000, false));
  if t.status not in ('resolved', 'closed') then
    perform desk_private.fail(
      'SD094', 'A ticket can be rated once it is resolved.',
      jsonb_build_object('status', t.status));
  end if;
  if desk_private.was_settled_by(t, desk_private.caller()) then
    perform desk_private.fail('SD094', 'An agent does not rate their own resolution.',
      jsonb_build_object('status', t.status));
  end if;
  perform desk_private.spend_quota(coalesce(desk_private.caller()::text, 'ticket:' || t.id),
    'message');
  insert into desk.ticket_ratings as r (ticket_id, rating, comment)
  values (t.id, rate_ticket.rating, rate_ticket.comment)
  on conflict (ticket_id) do update
    set rating = excluded.rating, comment = excluded.comment, created_at = now()
    where (r.rating, r.comment) is distinct from (excluded.rating, excluded.comment);
  -- A repeated rating is not an event.
  if found then
    perform desk_private.record_event(
      t.id, 'rated', 'customer', jsonb_build_object('rating', jsonb_build_array(null, rating)));
  end if;
  return jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number, 'rating', rating, 'comment', comment,
    'created_at', desk_private.wire_time(now()));
end
$$;

create function desk.rate_ticket(
  ticket text, rating integer, comment text default null, access_token text default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.rate_ticket(ticket, rating, comment, access_token) $$;

comment on function desk.rate_ticket is
  'The requester''s rating, 1 to 5, of a resolved ticket; the latest one counts.';

create function desk_private.close_ticket(ref text, access_token text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t desk.support_tickets := desk_private.require_own_ticket(ref, access_token);
begin
  if t.status <> 'resolved' then
    perform desk_private.fail(
      'SD091', format('You can close a ticket once it is resolved; this one is %s.', t.status),
      jsonb_build_object('status', t.status, 'allowed', '[]'::jsonb));
  end if;
  perform desk_private.spend_quota(coalesce(desk_private.caller()::text, 'ticket:' || t.id),
    'message');
  update desk.support_tickets s set status = 'closed' where s.id = t.id returning s.* into t;
  return jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number, 'status', t.status,
    'closed_at', desk_private.wire_time(t.closed_at));
end
$$;

create function desk.close_ticket(ticket text, access_token text default null) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.close_ticket(ticket, access_token) $$;

comment on function desk.close_ticket is
  '"Solved, thanks": the requester closes a resolved ticket.';

-- The automatic first reply, posted by the system, so that the first-response clock runs on. A
-- statement trigger: it must come after the event of the creation.
create function desk_private.reply_automatically() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  actor text := coalesce(current_setting('supadesk.actor', true), '');
begin
  if not exists (
    select from added n join desk.ticket_categories c on c.slug = n.category
    where c.auto_reply is not null
  ) then
    return null;
  end if;
  perform set_config('supadesk.actor', 'system', true);
  perform desk_private.post_message(
    t, 'system', null,
    left(desk_private.render_template(r.slug, desk_private.template_variables(t, null)), 20000),
      false, '{}')
  from added n
  join desk.ticket_categories c on c.slug = n.category
  join desk.reply_templates r on r.slug = c.auto_reply and r.is_active
  join desk.support_tickets t on t.id = n.id;
  perform set_config('supadesk.actor', actor, true);
  return null;
end
$$;

create trigger tickets_60_reply after insert on desk.support_tickets
  referencing new table as added
  for each statement execute function desk_private.reply_automatically();

revoke execute on all functions in schema desk_private from public;
grant execute on function desk_private.add_message, desk_private.rate_ticket,
  desk_private.close_ticket
  to anon, authenticated;
revoke all on function desk.add_message, desk.rate_ticket, desk.close_ticket
  from public, anon, authenticated, service_role;
grant execute on function desk.add_message, desk.rate_ticket, desk.close_ticket
  to anon, authenticated;
