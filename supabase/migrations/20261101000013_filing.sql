-- Filing a ticket. Every entry point ends in desk_private.file_ticket, which checks the row and
-- writes it with its attachments.

-- The fields of `context` by issue type. Types without a row take any keys.
create table desk_private.context_fields (
  issue_type text not null references desk_private.issue_types (issue_type) on delete cascade,
  field text not null,
  longest integer not null,
  required boolean not null default false,
  choices text[],
  primary key (issue_type, field)
);

insert into desk_private.context_fields (issue_type, field, longest, required, choices) values
  ('chatbot', 'domain_id', 255, true, null),
  ('chatbot', 'session_id', 255, true, null),
  ('chatbot', 'conversation_link', 2048, false, null),
  ('chatbot', 'selected_message_content', 10000, true, null),
  ('chatbot', 'issue_subtype', 40, true, '{accurate_but_not_ok,not_accurate}'),
  ('chatbot', 'expected_answer', 10000, false, null),
  ('bug', 'steps_to_reproduce', 10000, false, null),
  ('bug', 'expected_behavior', 10000, false, null),
  ('bug', 'actual_behavior', 10000, false, null),
  ('bug', 'device_info', 255, false, null),
  ('bug', 'app_version', 255, false, null),
  ('chatbot', 'reporter_email', 254, false, null),
  ('bug', 'reporter_email', 254, false, null),
  ('other', 'reporter_email', 254, false, null),
  ('contact', 'reporter_email', 254, false, null);

create function desk_private.context_problems(issue_type text, context jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  problems jsonb := '[]';
  entry record;
begin
  if jsonb_typeof(context) is distinct from 'object' then
    return desk_private.problem('context', 'must be an object');
  end if;
  if context = '{}' and not exists (
    select from desk_private.context_fields f
    where f.issue_type = context_problems.issue_type and f.required
  ) then
    return '[]';
  end if;
  if (select count(*) from jsonb_object_keys(context)) > 40 then
    return desk_private.problem('context', 'must have at most 40 keys');
  end if;
  for entry in
    select coalesce(given.key, field.field) as key, given.key is not null as is_given, given.value,
      field.longest, field.required, field.choices,
      field.field is not null or not exists (
        select from desk_private.context_fields f where f.issue_type = context_problems.issue_type
      ) as is_known
    from jsonb_each(context) as given
    full join (
      select f.* from desk_private.context_fields f where f.issue_type = context_problems.issue_type
    ) as field on field.field = given.key
    order by 1
  loop
    problems := problems || case
      when not entry.is_known
        then desk_private.problem(
          'context.' || left(entry.key, 63), 'is not a field of this issue type')
      when entry.key !~ '^[A-Za-z][A-Za-z0-9_]{0,62}$'
        then desk_private.problem(
          'context', 'keys must be letters, digits and underscores, at most 63, a letter first')
      when not entry.is_given and entry.required
        then desk_private.problem('context.' || entry.key, 'is required')
      when not entry.is_given then '[]'
      when jsonb_typeof(entry.value) in ('object', 'array')
        then desk_private.problem(
          'context.' || entry.key, 'must be a string, a number, true, false or null')
      when entry.longest is not null and jsonb_typeof(entry.value) <> 'string'
        then desk_private.problem('context.' || entry.key, 'must be a string')
      when entry.choices is not null
        then desk_private.choice_problem('context.' || entry.key, entry.value #>> '{}',
          entry.choices)
      when jsonb_typeof(entry.value) = 'string'
        then desk_private.text_problem(
          'context.' || entry.key, entry.value #>> '{}', coalesce(entry.longest, 10000))
      else '[]'
    end;
  end loop;
  return problems;
end
$$;

-- The conversation of a chatbot report: its link is built if it was left out; otherwise its host
-- must be allowed.
create function desk_private.conversation_context(context jsonb) returns jsonb
language sql stable set search_path = '' as $$
  select case
    when context ? 'conversation_link' or desk_private.setting('conversation_link') = 'null'
      then context
    else context || jsonb_build_object('conversation_link', replace(replace(
      desk_private.setting('conversation_link') #>> '{}',
      '{domain_id}', desk_private.url_encoded(context ->> 'domain_id')),
      '{session_id}', desk_private.url_encoded(context ->> 'session_id')))
  end
$$;

create function desk_private.conversation_problems(link text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select case
      when link is null
        or (desk_private.is_web_url(link)
          and desk_private.setting('conversation_hosts') ? desk_private.url_host(link))
        then '[]'::jsonb
      else desk_private.problem('context.conversation_link',
        'must be an https:// URL on ' || coalesce(
        (select string_agg(host, ' or ')
          from jsonb_array_elements_text(desk_private.setting('conversation_hosts')) as host),
        'a host that is allowed, and none is'))
    end
  );
end
$$;

create function desk_private.ticket_problems(t desk.support_tickets,
  attachments text[]) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return desk_private.text_problem('subject', t.subject, 255)
    || desk_private.text_problem('description', t.description, 20000)
    || desk_private.category_problem('category', t.category)
    || desk_private.priority_problem('priority', t.priority)
    || desk_private.text_problem('requester_name', t.requester_name, 200, false)
    || case when desk_private.is_email(t.requester_email) is not false then '[]'::jsonb
         else desk_private.problem('requester_email', 'must be an e-mail address') end
    || desk_private.context_problems(t.issue_type, t.context)
    || case when desk_private.is_email(t.context ->> 'reporter_email') is not false then '[]'::jsonb
         else desk_private.problem('requester_email', 'must be an e-mail address') end
    || case when t.issue_type = 'chatbot'
         then desk_private.conversation_problems(t.context ->> 'conversation_link')
         else '[]'::jsonb end
    || desk_private.url_problems('attachments', attachments);
end
$$;

-- Checks and writes a ticket. Rights, quota and requester are settled before.
create function desk_private.file_ticket(
  t desk.support_tickets, attachments text[]
) returns desk.support_tickets
language plpgsql security definer set search_path = '' as $$
begin
  t.category := coalesce(t.category, (
    select i.default_category from desk_private.issue_types i where i.issue_type = t.issue_type));
  t.priority := coalesce(t.priority, 'medium');
  perform desk_private.fail_fields(desk_private.ticket_problems(t, attachments));
  if t.issue_type = 'chatbot' then
    t.context := desk_private.conversation_context(t.context);
  end if;
  insert into desk.support_tickets (
    customer_id, requester_name, requester_email, issue_type, category, subject, description,
    priority, branch_id, context
  )
  values (
    t.customer_id, t.requester_name, t.requester_email, t.issue_type, t.category, t.subject,
    t.description, t.priority, t.branch_id, t.context
  )
  returning * into t;
  if cardinality(attachments) > 0 then
    insert into desk.ticket_attachments (ticket_id, url, place)
    select t.id, file.url, file.place from unnest(attachments) with ordinality as file (url, place);
  end if;
  return t;
end
$$;

create function desk_private.confirmation(t desk.support_tickets) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  policy desk.sla_policies := desk_private.policy_for(t.category, t.priority);
begin
  return jsonb_build_object(
    'ticket_id', t.id, 'ticket_number', t.ticket_number, 'issue_type', t.issue_type,
    'status', t.status, 'priority', t.priority, 'category', t.category,
    'created_at', desk_private.wire_time(t.created_at),
    'first_response_minutes', policy.first_response_minutes,
    'in_working_time',
      not desk_private.is_around_the_clock(desk_private.calendar_of(policy))
  );
end
$$;

-- The confirmed account with this id or e-mail address, or null. Auth stores addresses in lower
-- case. Its one unique index on them is `email … where not is_sso_user`, so an address names at
-- most one account.
create function desk_private.account_of(customer text) returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  account uuid;
begin
  if desk_private.is_uuid(customer) then
    select u.id into account from auth.users u
    where u.id = customer::uuid and u.confirmed_at is not null and not u.is_anonymous
      and u.deleted_at is null;
  else
    select u.id into account from auth.users u
    where u.email = lower(customer) and not u.is_sso_user and u.email_confirmed_at is not null
      and not u.is_anonymous and u.deleted_at is null;
  end if;
  return account;
end
$$;

-- The customer that an agent files for, by id or e-mail; a branch-bound agent finds customers of
-- that branch only.
create function desk_private.find_customer(customer text) returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  branch text := desk_private.agent_branch();
  account uuid := desk_private.account_of(customer);
begin
  if account is null or branch is not null and not exists (
    select from desk.customer_branches b where b.customer_id = account and b.branch_id = branch
  ) then
    perform desk_private.fail_fields(
      desk_private.problem(
        'customer', 'must be the id or the confirmed e-mail address of one customer'));
  end if;
  return account;
end
$$;

-- A new ticket's row for a customer, with their branch and the address that Auth has verified.
create function desk_private.new_ticket_for(customer uuid) returns desk.support_tickets
language plpgsql stable security definer set search_path = '' as $$
declare
  t desk.support_tickets;
begin
  t.customer_id := customer;
  t.branch_id := coalesce(
    (select b.branch_id from desk.customer_branches b where b.customer_id = customer),
    desk_private.agent_branch());
  t.requester_email := (select nullif(u.email, '') from auth.users u where u.id = customer);
  return t;
end
$$;

-- Fields that only some kinds of report allow.
create function desk_private.kind_problems(
  issue_type text, subject text, priority text, attachments text[], customer text
) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return desk_private.choice_problem('issue_type', issue_type,
    '{chatbot,other,bug,support,contact}')
    || case when issue_type = 'other' then desk_private.text_problem('subject', subject, 200)
      else '[]'::jsonb end
    || case when issue_type = 'contact' and priority is not null
      then desk_private.problem('priority', 'is not a field of a contact form') else '[]'::jsonb end
    || case when issue_type not in ('bug', 'support') and cardinality(attachments) > 0
      then desk_private.problem('attachments', 'come with bug and support only')
        else '[]'::jsonb end
    || case when issue_type <> 'support' and customer is not null
      then desk_private.problem('customer', 'comes with support only') else '[]'::jsonb end;
end
$$;

create function desk_private.create_ticket(
  issue_type text, subject text, description text, category text, priority text, context jsonb,
  attachments text[], requester_name text, requester_email text, customer text, idempotency_key text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
  is_agent boolean := desk_private.is_agent();
  answer jsonb;
  t desk.support_tickets;
begin
  answer := desk_private.replayed_answer(me::text, 'create_ticket', idempotency_key,
    jsonb_build_array(
    issue_type, subject, description, category, priority, context, attachments, requester_name,
    requester_email, customer));
  if answer is not null then
    return answer || desk_private.linear_state((answer ->> 'ticket_id')::uuid);
  end if;
  perform desk_private.fail_fields(
    desk_private.kind_problems(issue_type, subject, priority, attachments, customer));
  if customer is not null and not is_agent then
    perform desk_private.fail('SD403', 'Only agents file tickets for somebody else.');
  end if;
  if not is_agent then
    perform desk_private.spend_quota(me::text, create_ticket.issue_type);
  end if;
  t := desk_private.new_ticket_for(
    case when customer is null then me else desk_private.find_customer(customer) end);
  -- One statement: each by itself costs every request the same again.
  select create_ticket.issue_type, create_ticket.category, create_ticket.priority,
    create_ticket.subject, create_ticket.description, create_ticket.requester_name,
    create_ticket.context
  into t.issue_type, t.category, t.priority, t.subject, t.description, t.requester_name, t.context;
  -- Mail goes to the verified address; another one that the form named is kept for people to read.
  if lower(create_ticket.requester_email) is distinct from lower(t.requester_email) then
    t.context := t.context
      || jsonb_strip_nulls(jsonb_build_object('reporter_email', create_ticket.requester_email));
  end if;
  t := desk_private.file_ticket(t, attachments);
  answer := desk_private.remember_answer(
    me::text, 'create_ticket', idempotency_key, desk_private.confirmation(t));
  return answer || desk_private.linear_state(t.id);
end
$$;

create function desk.create_ticket(
  issue_type text, subject text, description text, category text default null,
  priority text default null, context jsonb default '{}', attachments text[] default '{}',
  requester_name text default null, requester_email text default null, customer text default null,
  idempotency_key text default null
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
  return desk_private.create_ticket(
    issue_type => issue_type, subject => subject, description => description, category => category,
    priority => priority, context => coalesce(context, '{}'),
    attachments => coalesce(attachments, '{}'), requester_name => requester_name,
    requester_email => requester_email, customer => customer, idempotency_key => idempotency_key);
end
$$;

comment on function desk.create_ticket is
  'Files a ticket for the caller, or by an agent for a customer: its ids, number, status and '
  'issue.';

-- An anonymous contact form. Only create-ticket knows the intake secret, so the RPC cannot be
-- called around it. `network` is a keyed hash of the sender's address; the address itself is not
-- stored.
create function desk_private.create_contact(
  subject text, description text, requester_email text, requester_name text, category text,
  access_token text, mail_token text, network text, intake_secret text, idempotency_key text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  answer jsonb;
  t desk.support_tickets;
begin
  -- Without a secret here or there, the comparison is null: only a match lets in.
  if (
    desk_private.sha256(intake_secret) = desk_private.setting('intake_secret_sha256') #>> '{}'
  ) is not true then
    perform desk_private.fail(
      'SD403', 'The contact form is served by the create-ticket function alone.');
  end if;
  if (network ~ '^[0-9a-f]{64}$' and access_token ~ '^[A-Za-z0-9_-]{43}$'
    and mail_token ~ '^[A-Za-z0-9_-]{43}$' and mail_token <> access_token) is not true then
    perform desk_private.fail_fields(
      desk_private.problem('network', 'and the tokens are made by create-ticket'));
  end if;
  if desk_private.is_uuid(idempotency_key) is false then
    perform desk_private.fail_fields(
      desk_private.problem('idempotency_key', 'must be a UUID when nobody is signed in'));
  end if;
  answer := desk_private.replayed_answer(
    'anonymous', 'create_ticket', idempotency_key, jsonb_build_array(
    subject, description, requester_email, requester_name, category));
  if answer is not null then
    return answer || desk_private.linear_state((answer ->> 'ticket_id')::uuid);
  end if;
  perform desk_private.spend_quota('network:' || network, 'anonymous_contact');
  if create_contact.requester_email is null then
    perform desk_private.fail_fields(desk_private.problem('requester_email', 'is required'));
  end if;
  t.issue_type := 'contact';
  t.category := create_contact.category;
  t.subject := create_contact.subject;
  t.description := create_contact.description;
  t.requester_name := create_contact.requester_name;
  t.requester_email := create_contact.requester_email;
  t.context := '{}';
  t := desk_private.file_ticket(t, '{}');
  -- From whatever networks they come, forms with one address mail one person.
  perform desk_private.spend_quota(
    'mail:' || desk_private.sha256(lower(t.requester_email)), 'anonymous_recipient');
  insert into desk_private.ticket_tokens (ticket_id, token_sha256, proves_address)
  values (t.id, desk_private.sha256(access_token), false),
    (t.id, desk_private.sha256(mail_token), true);
  -- The confirmation carries the link, and is the only place that ever holds its token; settling it
  -- forgets it.
  update desk_private.outbox o set data = o.data || jsonb_build_object('access_token', mail_token)
  where o.ticket_id = t.id and o.kind = 'created';
  answer := desk_private.remember_answer(
    'anonymous', 'create_ticket', idempotency_key, desk_private.confirmation(t));
  return answer || desk_private.linear_state(t.id);
end
$$;

create function desk.create_contact(
  subject text, description text, requester_email text, access_token text, network text,
  intake_secret text, requester_name text default null, category text default null,
  mail_token text default null, idempotency_key text default null
) returns jsonb
language sql security invoker set search_path = '' as $$
  select desk_private.create_contact(
    subject => subject, description => description, requester_email => requester_email,
    requester_name => requester_name, category => category, access_token => access_token,
    mail_token => mail_token, network => network, intake_secret => intake_secret,
    idempotency_key => idempotency_key)
$$;

comment on function desk.create_contact is
  'Files an anonymous contact form; demands the intake secret.';

revoke execute on all functions in schema desk_private from public;
grant execute on function desk_private.create_ticket to authenticated;
grant execute on function desk_private.create_contact to anon;
revoke all on function desk.create_ticket, desk.create_contact
  from public, anon, authenticated, service_role;
grant execute on function desk.create_ticket to authenticated;
grant execute on function desk.create_contact to anon;
