-- One ticket, whole: its conversation, timeline, metrics and what Linear knows of it.

-- A page is the newest hundred before a cursor. Its length is one more if another page follows.
-- Without `sees_replies`, what agents wrote is left out.
create function desk_private.message_page(
  t desk.support_tickets, is_agent boolean, sees_replies boolean, before uuid
) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
  edge desk.ticket_messages;
begin
  if before is not null then
    select m.* into edge from desk.ticket_messages m
    where m.id = before and m.ticket_id = t.id and (is_agent or not m.is_internal)
      and (sees_replies or m.author <> 'agent');
    if not found then
      perform desk_private.fail_fields(desk_private.problem(
        'messages_before', 'must be the messages_before of an earlier answer'));
    end if;
  end if;
  -- The first bound is for the index. The messages of a transcript share their time.
  return array(
    select m.id from desk.ticket_messages m
    where m.ticket_id = t.id and (is_agent or not m.is_internal)
      and (sees_replies or m.author <> 'agent')
      and m.created_at <= coalesce(edge.created_at, 'infinity')
      and (edge.id is null
        or (m.created_at, coalesce(m.transcript_place, 2147483647), m.id)
          < (edge.created_at, coalesce(edge.transcript_place, 2147483647), edge.id))
    order by m.created_at desc, m.transcript_place desc nulls first, m.id desc
    limit 101);
end
$$;

create function desk_private.timeline_page(
  t desk.support_tickets, is_agent boolean, before integer
) returns integer[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select e.seq from desk.ticket_events e
    where e.ticket_id = t.id and e.seq < coalesce(before, 2147483647)
      and (is_agent or e.type in ('created', 'status_changed', 'replied', 'rated'))
    order by e.seq desc
    limit 101);
end
$$;

create function desk_private.ticket_messages_json(
  t desk.support_tickets, page uuid[]
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
      'body', m.body, 'is_internal', m.is_internal, 'created_at',
        desk_private.wire_time(m.created_at),
      'is_transcript', m.transcript_place is not null, 'said_at', desk_private.wire_time(m.said_at),
      'attachments', (
        select coalesce(jsonb_agg(f.url order by f.created_at, f.place, f.id), '[]')
        from desk.ticket_attachments f where f.message_id = m.id
      )
    ) order by m.created_at, m.transcript_place, m.id), '[]')
    from desk.ticket_messages m
    left join desk.support_agents a on a.user_id = m.author_id
    where m.id = any (page)
  );
end
$$;

create function desk_private.ticket_attachments_json(
  t desk.support_tickets, page uuid[]
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'attachment_id', f.id, 'message_id', f.message_id, 'url', f.url,
      'created_at', desk_private.wire_time(f.created_at)
    ) order by f.created_at, f.place, f.id), '[]')
    from desk.ticket_attachments f
    where f.ticket_id = t.id and (f.message_id is null or f.message_id = any (page))
  );
end
$$;

-- A customer reads the creation, changes of status and replies; an agent reads everything.
create function desk_private.ticket_timeline_json(
  t desk.support_tickets, is_agent boolean, page integer[]
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select coalesce(jsonb_agg(
      case when is_agent then jsonb_build_object(
        'type', e.type, 'at', desk_private.wire_time(e.created_at), 'actor', e.actor,
        'actor_id', e.actor_id,
        'actor_name', a.display_name,
        'changes', case when e.type = 'created' then '{}'::jsonb
          else e.changes - 'updated_at' - 'version' end)
      else jsonb_strip_nulls(jsonb_build_object(
        'type', e.type, 'at', desk_private.wire_time(e.created_at), 'actor', e.actor,
        'from', e.changes -> 'status' -> 0, 'to', e.changes -> 'status' -> 1))
      end order by e.seq), '[]')
    from desk.ticket_events e
    left join desk.support_agents a on a.user_id = e.actor_id
    where e.ticket_id = t.id and e.seq = any (page)
  );
end
$$;

create function desk_private.ticket_metrics_json(
  t desk.support_tickets, is_agent boolean
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
      'rating', (select r.rating from desk.ticket_ratings r where r.ticket_id = t.id)
    ) || case when is_agent then jsonb_build_object('internal_notes', (
      select count(*) from desk.ticket_messages n where n.ticket_id = t.id and n.is_internal))
        else '{}' end
    from desk.ticket_messages m
    where m.ticket_id = t.id and not m.is_internal and m.transcript_place is null
  );
end
$$;

create function desk_private.get_ticket(
  ref text, access_token text, messages_before uuid, timeline_before integer
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  t desk.support_tickets := desk_private.require_ticket(ref, access_token);
  is_agent boolean := desk_private.role_on(t, access_token) = 'agent';
  sees_replies boolean := is_agent or coalesce(t.customer_id = desk_private.caller(), false)
    or desk_private.token_opens(t, access_token, proving => true);
  messages uuid[] := desk_private.message_page(t, is_agent, sees_replies, messages_before);
  events integer[] := desk_private.timeline_page(t, is_agent, timeline_before);
begin
  return desk_private.ticket_summary(t)
    || jsonb_build_object(
      'description', t.description, 'resolution', case when sees_replies then t.resolution end,
      'context', t.context,
      'requester_name', t.requester_name, 'requester_email', t.requester_email,
      'resolved_at', desk_private.wire_time(t.resolved_at), 'closed_at',
        desk_private.wire_time(t.closed_at),
      'version', t.version,
      'sla', desk_private.sla_json(t), 'linear', desk_private.linear_state(t.id),
      'messages', desk_private.ticket_messages_json(t, messages[:100]),
      'messages_before', case when cardinality(messages) > 100 then messages[100] end,
      'attachments', desk_private.ticket_attachments_json(t, messages[:100]),
      'timeline', desk_private.ticket_timeline_json(t, is_agent, events[:100]),
      'timeline_before', case when cardinality(events) > 100 then events[100] end,
      'escalations', (
        select coalesce(jsonb_agg(desk_private.escalation_json(e) order by e.created_at, e.id),
          '[]')
        from desk.escalation_requests e where e.ticket_id = t.id),
      'metrics', desk_private.ticket_metrics_json(t, is_agent))
    || case when is_agent
      then jsonb_build_object('customer_id', t.customer_id, 'branch_id', t.branch_id,
        -- An address that somebody typed into a form proves nothing.
        'requester_verified', t.customer_id is not null and exists (
          select from auth.users u
          where u.id = t.customer_id and u.confirmed_at is not null and u.deleted_at is null))
      else '{}' end;
end
$$;

create function desk.get_ticket(
  ticket text, access_token text default null, messages_before uuid default null,
  timeline_before integer default null
) returns jsonb
language sql stable security invoker set search_path = ''
as $$ select desk_private.get_ticket(ticket, access_token, messages_before, timeline_before) $$;

comment on function desk.get_ticket is
  'One ticket by number or id, with the messages, attachments, timeline and metrics that the '
  'caller may see. Messages and timeline are the newest hundred before a cursor.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.get_ticket from public, anon, authenticated, service_role;
grant execute on function desk_private.get_ticket, desk.get_ticket to anon, authenticated;
