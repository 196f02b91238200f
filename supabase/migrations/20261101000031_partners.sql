-- Partners: other systems that file tickets, conversations and feedback for known customers.
--
-- receive-webhook has verified the caller. The external_id of an integration is an idempotency key
-- without expiry: a repeated one gets the first answer.

insert into desk_private.quota_limits (kind, most, period) values ('webhook', 1000, '1 hour');

create table desk_private.partner_requests (
  integration text not null,
  external_id text not null,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (integration, external_id)
);

create index partner_requests_created on desk_private.partner_requests (integration, created_at);

insert into desk_private.settings (key, value) values ('partner_request_days', '400');

comment on table desk_private.partner_requests is 'The answer to each external_id.';

-- Returns null for a new external_id, which is now claimed until the transaction ends. A concurrent
-- call with the same one waits at the insert.
create function desk_private.answered_partner(integration text, external_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  answer jsonb;
begin
  perform desk_private.require_service();
  perform desk_private.fail_fields(
    desk_private.text_problem('integration', integration, 100)
      || desk_private.text_problem('external_id', external_id, 255));
  insert into desk_private.partner_requests as p (integration, external_id)
  values (answered_partner.integration, answered_partner.external_id)
  on conflict on constraint partner_requests_pkey do nothing;
  if found then
    perform desk_private.spend_quota('integration:' || integration, 'webhook');
    -- Each new request prunes a few old ones, so there is no more to prune than comes in.
    delete from desk_private.partner_requests p
    where p.integration = answered_partner.integration and p.external_id in (
      select old.external_id from desk_private.partner_requests old
      where old.integration = answered_partner.integration
        and old.created_at < desk_private.retention_start('partner_request_days')
      order by old.created_at limit 10);
    return null;
  end if;
  select p.answer into strict answer from desk_private.partner_requests p
  where p.integration = answered_partner.integration
    and p.external_id = answered_partner.external_id;
  return answer;
end
$$;

create function desk_private.answer_partner(
  integration text, external_id text, answer jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  update desk_private.partner_requests p set answer = answer_partner.answer
  where p.integration = answer_partner.integration and p.external_id = answer_partner.external_id;
  return answer;
end
$$;

create function desk_private.receive_ticket(
  integration text, external_id text, issue_type text, customer text, subject text,
  description text, category text, priority text, context jsonb, attachments text[]
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  answer jsonb := desk_private.answered_partner(integration, external_id);
  t desk.support_tickets;
begin
  if answer is null then
    t := desk_private.new_ticket_for(desk_private.find_customer(customer));
    t.issue_type := receive_ticket.issue_type;
    t.category := receive_ticket.category;
    t.priority := receive_ticket.priority;
    t.subject := receive_ticket.subject;
    t.description := receive_ticket.description;
    t.context := receive_ticket.context;
    answer := desk_private.answer_partner(
      integration, external_id,
        desk_private.confirmation(desk_private.file_ticket(t, attachments)));
  end if;
  return answer || desk_private.linear_state((answer ->> 'ticket_id')::uuid);
end
$$;

create function desk.receive_ticket(
  integration text, external_id text, issue_type text, customer text, subject text,
  description text, category text default null, priority text default null,
  context jsonb default '{}', attachments text[] default '{}'
) returns jsonb
language sql security invoker set search_path = '' as $$
  select desk_private.receive_ticket(
    integration => integration, external_id => external_id, issue_type => issue_type,
    customer => customer, subject => subject, description => description, category => category,
    priority => priority, context => coalesce(context, '{}'),
    attachments => coalesce(attachments, '{}'))
$$;

comment on function desk.receive_ticket is
  'A partner files a ticket for a customer, named by id or e-mail; once per external_id.';

create function desk_private.receive_feedback(
  integration text, external_id text, customer text, category text, description text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  return coalesce(
    desk_private.answered_partner(integration, external_id),
    desk_private.answer_partner(integration, external_id, desk_private.keep_feedback(
      desk_private.find_customer(customer), category, description, null, null, null)));
end
$$;

create function desk.receive_feedback(
  integration text, external_id text, customer text, category text, description text
) returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.receive_feedback(integration, external_id, customer, category,
  description) $$;

comment on function desk.receive_feedback is
  'A partner brings a customer''s feedback; once per external_id.';

-- A conversation has an id of its own, and is filed once per customer and partner.
create function desk_private.receive_transfer(
  integration text, customer text, conversation_id text, subject text, summary text, category text,
  priority text, transcript jsonb, suggestion text, recognised text, findings text, context jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.require_service();
  perform desk_private.fail_fields(desk_private.text_problem('integration', integration, 100));
  return desk_private.file_transfer(
    customer => desk_private.find_customer(customer), sender => 'integration:' || integration,
    payer => 'integration:' || integration,
    quota => 'webhook', conversation_id => conversation_id, subject => subject, summary => summary,
    category => category, priority => priority, transcript => transcript, suggestion => suggestion,
    recognised => recognised, findings => findings, context => context);
end
$$;

create function desk.receive_transfer(
  integration text, customer text, conversation_id text, subject text, summary text,
  transcript jsonb, category text default null, priority text default null,
  suggestion text default null, recognised text default null, findings text default null,
  context jsonb default '{}'
) returns jsonb
language sql security invoker set search_path = '' as $$
  select desk_private.receive_transfer(
    integration => integration, customer => customer, conversation_id => conversation_id,
    subject => subject, summary => summary, category => category, priority => priority,
    transcript => transcript, suggestion => suggestion, recognised => recognised,
    findings => findings, context => coalesce(context, '{}'))
$$;

comment on function desk.receive_transfer is
  'create_transfer by a partner, for a customer named by id or e-mail.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.receive_ticket, desk.receive_feedback, desk.receive_transfer
  from public, anon, authenticated, service_role;
grant execute on function
  desk_private.receive_ticket, desk_private.receive_feedback, desk_private.receive_transfer,
    desk.receive_ticket,
  desk.receive_feedback, desk.receive_transfer
to service_role;
