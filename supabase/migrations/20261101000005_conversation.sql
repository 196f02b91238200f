-- The conversation of a ticket: messages, attachments, the customer's rating.

create table desk.ticket_messages (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  author text not null check (author in ('customer', 'agent', 'ai', 'system')),
  author_id uuid,
  body text not null check (char_length(body) between 1 and 20000 and body ~ '\S'),
  is_internal boolean not null default false,
  created_at timestamptz not null default now(),
  transcript_place integer check (transcript_place > 0),
  said_at timestamptz,
  check (transcript_place is null or author in ('customer', 'ai') and not is_internal),
  check (said_at is null or transcript_place is not null)
);

create index ticket_messages_ticket on desk.ticket_messages (ticket_id, created_at, id);

alter table desk.ticket_messages enable row level security;

comment on table desk.ticket_messages is
  'Replies, internal notes and messages of the system. Internal ones are for agents only.';
comment on column desk.ticket_messages.author_id is
  'No foreign key: a deleted agent''s replies keep their author; the ticket''s trigger removes a '
  'deleted customer.';
comment on column desk.ticket_messages.transcript_place is
  'The place, from 1, of a message that precedes the ticket. It is not a reply and notifies no '
  'one.';
comment on column desk.ticket_messages.said_at is
  'The time of a message that precedes the ticket, if known.';

-- RLS of support_tickets applies inside the subquery: access to a ticket includes its public
-- messages. Internal ones are for agents of that ticket, as role_on says; being an agent elsewhere
-- is not enough.
create policy select_with_ticket on desk.ticket_messages for select to authenticated
  using (exists (
    select from desk.support_tickets t
    where t.id = ticket_id
      and (not is_internal or (select desk_private.is_unbound_agent())
        or t.branch_id = (select desk_private.agent_branch()))
  ));

revoke all on desk.ticket_messages from public, anon, authenticated, service_role;
grant select on desk.ticket_messages to authenticated, service_role;

create table desk.ticket_attachments (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null references desk.support_tickets (id) on delete cascade,
  message_id uuid references desk.ticket_messages (id) on delete cascade,
  url text not null check (desk_private.is_web_url(url)),
  is_internal boolean not null default false,
  place integer not null default 1 check (place >= 1),
  created_at timestamptz not null default now()
);

create index ticket_attachments_ticket on desk.ticket_attachments (ticket_id);
create index ticket_attachments_message on desk.ticket_attachments (message_id);

alter table desk.ticket_attachments enable row level security;

comment on table desk.ticket_attachments is
  'URLs of files that came with a ticket or a message. They are never fetched.';
comment on column desk.ticket_attachments.message_id is
  'Null for attachments of the ticket itself.';
comment on column desk.ticket_attachments.is_internal is 'As the message it belongs to.';
comment on column desk.ticket_attachments.place is
  'Its place among the files that came together.';

create policy select_with_ticket on desk.ticket_attachments for select to authenticated
  using (exists (
    select from desk.support_tickets t
    where t.id = ticket_id
      and (not is_internal or (select desk_private.is_unbound_agent())
        or t.branch_id = (select desk_private.agent_branch()))
  ));

revoke all on desk.ticket_attachments from public, anon, authenticated, service_role;
grant select on desk.ticket_attachments to authenticated, service_role;

create table desk.ticket_ratings (
  ticket_id uuid primary key references desk.support_tickets (id) on delete cascade,
  rating integer not null check (rating between 1 and 5),
  comment text check (char_length(comment) between 1 and 2000),
  created_at timestamptz not null default now()
);

alter table desk.ticket_ratings enable row level security;

comment on table desk.ticket_ratings is
  'The customer''s satisfaction (CSAT). The latest rating of a ticket counts.';

create policy select_with_ticket on desk.ticket_ratings for select to authenticated
  using (exists (select from desk.support_tickets t where t.id = ticket_id));

revoke all on desk.ticket_ratings from public, anon, authenticated, service_role;
grant select on desk.ticket_ratings to authenticated, service_role;

-- The text that full-text search reads: number, subject, description and public messages, never an
-- internal note. A narrow table beside the tickets, so that a reply does not rewrite a wide row.
create table desk_private.ticket_search (
  ticket_id uuid primary key references desk.support_tickets (id) on delete cascade,
  created_at timestamptz not null,
  words tsvector not null
);

-- Every search reads the pending list of the index sequentially, so the list is kept short.
create index ticket_search_words on desk_private.ticket_search using gin (words)
  with (gin_pending_list_limit = 256);

-- Besides words, the vector holds marks: the customer, the branch and the time of filing. So one
-- index answers “this word, of this customer” at the cost of the rarer of the two. A mark begins
-- with a blank, as no word of a text does.
create function desk_private.customer_mark(customer_id uuid) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return ' c' || customer_id;
end
$$;

create function desk_private.branch_mark(branch_id text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return ' b' || desk_private.sha256(branch_id);
end
$$;

-- Time in units of 1024 seconds is six hexadecimal digits, of which the first few name a longer
-- stretch.
create function desk_private.time_unit(moment timestamptz) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
  return greatest(0, floor(extract(epoch from moment) / 1024));
end
$$;

create function desk_private.time_mark(unit bigint, digits integer default 6) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return ' t' || lpad(to_hex(unit), digits, '0');
end
$$;

create function desk_private.ticket_words(t desk.support_tickets) returns tsvector
language plpgsql immutable set search_path = '' as $$
begin
  return setweight(to_tsvector('pg_catalog.english', t.subject), 'A')
    || setweight(to_tsvector('pg_catalog.english', t.description), 'B')
    || array_to_tsvector(array_remove(array[
      desk_private.customer_mark(t.customer_id), desk_private.branch_mark(t.branch_id),
      desk_private.time_mark(desk_private.time_unit(t.created_at))
    ], null));
end
$$;

create function desk_private.index_ticket() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into desk_private.ticket_search (ticket_id, created_at, words)
  values (new.id, new.created_at, desk_private.ticket_words(new));
  return null;
end
$$;

create trigger tickets_30_index after insert on desk.support_tickets
  for each row execute function desk_private.index_ticket();

-- Adds a text to the search vector of a ticket. A tsvector holds at most 1 MB, and its size cannot
-- be predicted. A text that does not fit is left out, and its write succeeds.
create function desk_private.index_text(ticket_id uuid, body text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update desk_private.ticket_search s
  set words = s.words || to_tsvector('pg_catalog.english', body)
  where s.ticket_id = index_text.ticket_id and length(s.words) < 10000;
exception when program_limit_exceeded then
  null;
end
$$;

create function desk_private.index_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.index_text(new.ticket_id, new.body);
  return null;
end
$$;

-- A transcript comes whole and is indexed whole.
create trigger messages_30_index after insert on desk.ticket_messages
  for each row when (not new.is_internal and new.transcript_place is null)
    execute function desk_private.index_message();

revoke execute on all functions in schema desk_private from public;
