-- Transfers: a conversation with an assistant that continues with a person.
--
-- The transcript becomes messages of the ticket, by the customer or the assistant; only replies
-- written here are an agent's. They precede the ticket, so they are not replies and notify no one.

-- One ticket per customer, sender and conversation, however often the conversation is sent. Each
-- sender has ids of its own: a partner's must not shadow the customer's.
create table desk_private.transfers (
  customer_id uuid not null references auth.users (id) on delete cascade,
  sender text not null,
  conversation_id text not null,
  answer jsonb,
  primary key (customer_id, sender, conversation_id)
);

comment on table desk_private.transfers is
  'Conversations that have become tickets, and the answers given.';
comment on column desk_private.transfers.sender is
  '`desk` for the customer and for agents, `integration:` and its name for a partner.';

-- The functions accept bodies of the same size: 500 messages and 256 Ki characters.
create function desk_private.transcript_problems(transcript jsonb) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if jsonb_typeof(transcript) is distinct from 'array'
    or jsonb_array_length(transcript) not between 1 and 500 then
    return desk_private.problem('transcript', 'must be a list of 1 to 500 messages');
  end if;
  if char_length(transcript::text) > 262144 then
    return desk_private.problem('transcript', 'must be at most 262144 characters as JSON');
  end if;
  return (
    select coalesce(jsonb_agg(problem.value order by said.place), '[]')
    from jsonb_array_elements(transcript) with ordinality as said (entry, place)
    cross join lateral jsonb_array_elements(
      desk_private.choice_problem(
        'transcript.' || place - 1 || '.author', entry ->> 'author', '{customer,ai}')
      || desk_private.text_problem(
        'transcript.' || place - 1 || '.body',
        case when jsonb_typeof(entry -> 'body') = 'string' then entry ->> 'body' end, 20000)
      || desk_private.moment_problem(
        'transcript.' || place - 1 || '.said_at', entry ->> 'said_at')) as problem
  );
end
$$;

-- Times in the future, from a fast clock, are capped at now.
create function desk_private.keep_transcript(t desk.support_tickets, transcript jsonb) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into desk.ticket_messages (ticket_id, author, author_id, body, transcript_place, said_at)
  select t.id, entry ->> 'author',
    case entry ->> 'author' when 'customer' then t.customer_id end, entry ->> 'body', place,
    least((entry ->> 'said_at')::timestamptz, now())
  from jsonb_array_elements(transcript) with ordinality as said (entry, place);
  perform desk_private.index_text(t.id,
    left(string_agg(entry ->> 'body', E'\n' order by place), 300000), 'B')
  from jsonb_array_elements(transcript) with ordinality as said (entry, place);
end
$$;

create function desk_private.note_on_transfer(summary text, suggestion text,
  findings text) returns text
language sql immutable set search_path = '' as $$
  select 'Handed over by the assistant.' || E'\n\nSummary: ' || summary
    || coalesce(E'\n\nSuggested resolution: ' || suggestion, '')
      || coalesce(E'\n\n' || findings, '')
$$;

-- Files a conversation for a customer; rights are settled before. `payer` is the key of the quota,
-- null for none. `recognised` is the category by default, unless it is retired. A concurrent call
-- for the same conversation waits at the insert.
create function desk_private.file_transfer(
  customer uuid, sender text, payer text, quota text, conversation_id text, subject text,
  summary text,
  category text, priority text, transcript jsonb, suggestion text, recognised text, findings text,
  context jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  confirmation jsonb;
  t desk.support_tickets;
begin
  perform desk_private.fail_fields(desk_private.text_problem('conversation_id', conversation_id,
    255));
  insert into desk_private.transfers as k (customer_id, sender, conversation_id)
  values (customer, file_transfer.sender, file_transfer.conversation_id)
  on conflict on constraint transfers_pkey do nothing;
  if not found then
    select k.answer into strict confirmation from desk_private.transfers k
    where k.customer_id = customer and k.sender = file_transfer.sender
      and k.conversation_id = file_transfer.conversation_id;
    return confirmation || desk_private.linear_state((confirmation ->> 'ticket_id')::uuid);
  end if;
  if payer is not null then
    perform desk_private.spend_quota(payer, quota);
  end if;
  perform desk_private.fail_fields(
    desk_private.text_problem('summary', summary, 9000)
      || desk_private.text_problem('suggestion', suggestion, 9000, false)
    || desk_private.text_problem('findings', findings, 1000, false)
      || desk_private.transcript_problems(transcript));
  t := desk_private.new_ticket_for(customer);
  t.issue_type := 'ai_transfer';
  t.category := coalesce(
    file_transfer.category,
    (select c.slug from desk.ticket_categories c where c.slug = recognised and c.is_active));
  t.priority := file_transfer.priority;
  t.subject := file_transfer.subject;
  t.description := summary;
  t.context := file_transfer.context
    || jsonb_build_object('conversation_id', file_transfer.conversation_id);
  t := desk_private.file_ticket(t, '{}');
  perform desk_private.keep_transcript(t, transcript);
  perform desk_private.post_message(
    t, 'ai', null, desk_private.note_on_transfer(summary, suggestion, findings), true, '{}');
  confirmation := desk_private.confirmation(t) || jsonb_build_object('subject', t.subject);
  update desk_private.transfers k set answer = confirmation
  where k.customer_id = customer and k.sender = file_transfer.sender
    and k.conversation_id = file_transfer.conversation_id;
  return confirmation || desk_private.linear_state(t.id);
end
$$;

create function desk_private.create_transfer(
  conversation_id text, subject text, summary text, category text, priority text, transcript jsonb,
  suggestion text, recognised text, findings text, context jsonb, customer text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
begin
  if customer is not null and not desk_private.is_agent() then
    perform desk_private.fail('SD403', 'Only agents file tickets for somebody else.');
  end if;
  return desk_private.file_transfer(
    customer => case when customer is null then me else desk_private.find_customer(customer) end,
    sender => 'desk',
    payer => case when not desk_private.is_agent() then me::text end, quota => 'ai_transfer',
    conversation_id => conversation_id, subject => subject, summary => summary,
    category => category, priority => priority, transcript => transcript, suggestion => suggestion,
    recognised => recognised, findings => findings, context => context);
end
$$;

create function desk.create_transfer(
  conversation_id text, subject text, summary text, transcript jsonb, category text default null,
  priority text default null, suggestion text default null, recognised text default null,
  findings text default null, context jsonb default '{}', customer text default null
) returns jsonb
language sql security invoker set search_path = '' as $$
  select desk_private.create_transfer(
    conversation_id => conversation_id, subject => subject, summary => summary,
    category => category, priority => priority, transcript => transcript, suggestion => suggestion,
    recognised => recognised, findings => findings, context => coalesce(context, '{}'),
    customer => customer)
$$;

comment on function desk.create_transfer is
  'Files the caller''s conversation with an assistant, or by an agent a customer''s: [{author: '
  'customer or ai, body, said_at?}]. A repeated conversation_id gets the same answer.';

-- Triage runs in the function, so its quota is a call of its own. Agents have none.
create function desk_private.begin_analysis() returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
  is_counted boolean := not desk_private.is_agent();
begin
  if is_counted then
    perform desk_private.spend_quota(me::text, 'analysis');
  end if;
  return jsonb_build_object('is_counted', is_counted);
end
$$;

create function desk.begin_analysis() returns jsonb
language sql security invoker set search_path = ''
as $$ select desk_private.begin_analysis() $$;

comment on function desk.begin_analysis is
  'Counts an analysis of a conversation against the caller''s quota: {is_counted}.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.create_transfer, desk.begin_analysis
  from public, anon, authenticated, service_role;
grant execute on function
  desk_private.create_transfer, desk_private.begin_analysis, desk.create_transfer,
  desk.begin_analysis
to authenticated;
