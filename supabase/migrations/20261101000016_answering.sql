-- Answering: replies, internal notes, the customer's rating and "solved, thanks".

-- Renders an agent's template with the variables of the ticket and those of the request.
create function private.rendered_reply(
  t public.support_tickets, body text, template text, variables jsonb
) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if private.role_on(t) is distinct from 'agent' then
    perform private.fail('SD403', 'Only agents reply with templates.');
  end if;
  perform private.fail_fields(
    case when body is not null
      then private.problem('template', 'and body exclude each other; send one') else '[]'::jsonb end
    || case when jsonb_typeof(variables) = 'object' then '[]'::jsonb
      else private.problem('variables', 'must be an object of name and text') end);
  return private.render_template(
    template, variables || private.template_variables(t, private.caller()));
end
$$;

-- The author of a message: an agent on a ticket of someone else, the customer on their own.
create function private.author_on(t public.support_tickets) returns text
language plpgsql stable set search_path = '' as $$
begin
  return (
    select case
      when private.role_on(t) = 'agent' and t.customer_id is distinct from private.caller()
        then 'agent' else 'customer' end
  );
end
$$;

-- Writes a message and its effects on the ticket. A note changes nothing that a customer can see,
-- not even a timestamp. A customer's reply reopens the ticket.
create function private.post_message(
  t public.support_tickets, author text, author_id uuid, body text, is_internal boolean,
  attachments text[]
) returns public.ticket_messages
language plpgsql security definer set search_path = '' as $$
declare
  message public.ticket_messages;
begin
  insert into public.ticket_messages (ticket_id, author, author_id, body, is_internal)
  values (t.id, author, author_id, body, is_internal)
  returning * into message;
  insert into public.ticket_attachments (ticket_id, message_id, url, is_internal)
  select t.id, message.id, url, message.is_internal from unnest(attachments) as url;
  if is_internal then
    perform private.record_event(t.id, 'noted', author);
  else
    update public.support_tickets s
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

create function private.add_message(
  ref text, body text, is_internal boolean, attachments text[], template text, variables jsonb,
  access_token text, idempotency_key text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t public.support_tickets := private.require_ticket(ref, access_token, for_change => true);
  author text := private.author_on(t);
  caller text := coalesce(private.caller()::text, 'ticket:' || t.id);
  answer jsonb;
  message public.ticket_messages;
begin
  if is_internal and private.role_on(t) is distinct from 'agent' then
    perform private.fail('SD403', 'Only agents write internal notes.');
  end if;
  if private.caller() is null and private.is_uuid(idempotency_key) is false then
    perform private.fail_fields(
      private.problem('idempotency_key', 'must be a UUID when nobody is signed in'));
  end if;
  answer := private.replayed_answer(caller, 'add_message', idempotency_key,
    jsonb_build_array(t.id, body, is_internal, attachments, template, variables));
  if answer is not null then
    return answer;
  end if;
  if template is not null then
    body := private.rendered_reply(t, body, template, variables);
  end if;
  perform private.fail_fields(
    private.text_problem('body', body, 20000) || private.url_problems('attachments', attachments));
  if author = 'customer' then
    perform private.spend_quota(caller, 'message');
  end if;
  message := private.post_message(
    t, case when is_internal then 'agent' else author end, private.caller(), body, is_internal,
    attachments);
  select s.* into t from public.support_tickets s where s.id = t.id;
  return private.remember_answer(caller, 'add_message', idempotency_key, jsonb_build_object(
    'message_id', message.id, 'ticket_id', t.id, 'ticket_number', t.ticket_number,
    'status', t.status, 'author', message.author, 'is_internal', message.is_internal,
    'created_at', private.wire_time(message.created_at)));
end
$$;

create function public.add_message(
  ticket text, body text default null, is_internal boolean default false,
  attachments text[] default '{}', template text default null, variables jsonb default '{}',
  access_token text default null, idempotency_key text default null
) returns jsonb
language sql security invoker set search_path = '' as $$
  select private.add_message(
    ref => ticket, body => body, is_internal => coalesce(is_internal, false),
    attachments => coalesce(attachments, '{}'), template => template,
    variables => coalesce(variables, '{}'), access_token => access_token,
    idempotency_key => idempotency_key)
$$;

comment on function public.add_message is
  'A reply to a ticket, or an agent''s internal note; a customer''s reply reopens it.';

-- Returns the ticket for its requester; agents cannot rate or close their customers' tickets.
create function private.require_own_ticket(
  ref text, access_token text
) returns public.support_tickets
language plpgsql security definer set search_path = '' as $$
declare
  t public.support_tickets := private.require_ticket(ref, access_token, for_change => true);
begin
  if t.customer_id is distinct from private.caller()
    and not private.token_opens(t, access_token) then
    perform private.fail('SD403', 'Only the requester of the ticket may do this.');
  end if;
  return t;
end
$$;

create function private.rate_ticket(
  ref text, rating integer, comment text, access_token text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t public.support_tickets := private.require_own_ticket(ref, access_token);
begin
  perform private.fail_fields(
    case when rating between 1 and 5 then '[]'::jsonb
      else private.problem('rating', 'must be 1 to 5') end
    || private.text_problem('comment', comment, 2000, false));
  if t.status not in ('resolved', 'closed') then
    perform private.fail(
      'SD094', 'A ticket can be rated once it is resolved.',
      jsonb_build_object('status', t.status));
  end if;
  perform private.spend_quota(coalesce(private.caller()::text, 'ticket:' || t.id), 'message');
  insert into public.ticket_ratings as r (ticket_id, rating, comment)
  values (t.id, rate_ticket.rating, rate_ticket.comment)
  on conflict (ticket_id) do update
    set rating = excluded.rating, comment = excluded.comment, created_at = now()
    where (r.rating, r.comment) is distinct from (excluded.rating, excluded.comment);
  -- A repeated rating is not an event.
  if found then
    perform private.record_event(
      t.id, 'rated', 'customer', jsonb_build_object('rating', jsonb_build_array(null, rating)));
  end if;
  return jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number, 'rating', rating, 'comment', comment,
    'created_at', private.wire_time(now()));
end
$$;

create function public.rate_ticket(
  ticket text, rating integer, comment text default null, access_token text default null
) returns jsonb
language sql security invoker set search_path = ''
as $$ select private.rate_ticket(ticket, rating, comment, access_token) $$;

comment on function public.rate_ticket is
  'The requester''s rating, 1 to 5, of a resolved ticket; the latest one counts.';

create function private.close_ticket(ref text, access_token text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  t public.support_tickets := private.require_own_ticket(ref, access_token);
begin
  if t.status <> 'resolved' then
    perform private.fail(
      'SD091', format('You can close a ticket once it is resolved; this one is %s.', t.status),
      jsonb_build_object('status', t.status, 'allowed', '[]'::jsonb));
  end if;
  perform private.spend_quota(coalesce(private.caller()::text, 'ticket:' || t.id), 'message');
  update public.support_tickets s set status = 'closed' where s.id = t.id returning s.* into t;
  return jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number, 'status', t.status,
    'closed_at', private.wire_time(t.closed_at));
end
$$;

create function public.close_ticket(ticket text, access_token text default null) returns jsonb
language sql security invoker set search_path = ''
as $$ select private.close_ticket(ticket, access_token) $$;

comment on function public.close_ticket is
  '"Solved, thanks": the requester closes a resolved ticket.';

-- The automatic first reply, posted by the system, so that the first-response clock runs on. A
-- statement trigger: it must come after the event of the creation.
create function private.reply_automatically() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  actor text := coalesce(current_setting('supadesk.actor', true), '');
begin
  if not exists (
    select from added n join public.ticket_categories c on c.slug = n.category
    where c.auto_reply is not null
  ) then
    return null;
  end if;
  perform set_config('supadesk.actor', 'system', true);
  perform private.post_message(
    t, 'system', null,
    left(private.render_template(r.slug, private.template_variables(t, null)), 20000), false, '{}')
  from added n
  join public.ticket_categories c on c.slug = n.category
  join public.reply_templates r on r.slug = c.auto_reply and r.is_active
  join public.support_tickets t on t.id = n.id;
  perform set_config('supadesk.actor', actor, true);
  return null;
end
$$;

create trigger tickets_60_reply after insert on public.support_tickets
  referencing new table as added
  for each statement execute function private.reply_automatically();

revoke execute on all functions in schema private from public;
grant execute on function private.add_message, private.rate_ticket, private.close_ticket
  to anon, authenticated;
revoke all on function public.add_message, public.rate_ticket, public.close_ticket
  from public, anon, authenticated, service_role;
grant execute on function public.add_message, public.rate_ticket, public.close_ticket
  to anon, authenticated;
