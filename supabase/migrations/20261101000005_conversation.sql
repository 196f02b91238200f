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

-- Words: one normaliser for the text that is indexed and for the text that is searched.
--
-- PostgreSQL's parser is not used. It depends on LC_CTYPE, and it reads URLs, file names, tags and
-- negative numbers as single tokens. Here a word is what stands between separators, which are named
-- by code point. So words are the same on every platform.

do $$
declare
  home name := (
    select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'unaccent'
  );
begin
  if home is null then
    create schema if not exists extensions;
    create extension unaccent with schema extensions;
    home := 'extensions';
  end if;
  -- Immutable, because the dictionary is named.
  execute format($function$
    create function desk_private.without_accents(given text) returns text
    language plpgsql immutable set search_path = '' as $body$
    begin
      return %1$I.unaccent('%1$I.unaccent'::regdictionary, given);
    end
    $body$ $function$, home);
end
$$;

-- English stems without stop words, since “IT” and “will” are words too. Words of other languages
-- find themselves, because both sides are stemmed alike.
create text search dictionary desk_private.stems (
  template = pg_catalog.snowball, language = english
);

-- Case, accents and compatible forms (full width, ligatures) do not count. Vowel signs of Arabic
-- and Hebrew, joiners and variation selectors are dropped. Emoji and the letters of scripts without
-- blanks (CJK, Thai, Lao, Khmer, Burmese) become words of their own: a phrase finds any part.
create function desk_private.plain_text(given text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  if octet_length(given) = char_length(given) then
    return lower(given);
  end if;
  return regexp_replace(
    translate(
      lower(desk_private.without_accents(regexp_replace(
        normalize(given, nfkc),
        '[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u061c\u0640'
          '\u064b-\u065f\u0670\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]',
        '', 'g'))),
      'ς٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९๐๑๒๓๔๕๖๗๘๙',
      'σ0123456789012345678901234567890123456789'),
    '([\u0e01-\u0e2e\u0e30-\u0e3a\u0e40-\u0e4e\u0e80-\u0ece\u1000-\u1049\u1780-\u17d3'
      '\u2600-\u27bf\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3'
      '\U0001f000-\U0001faff\U00020000-\U0003ffff])',
    ' \1 ', 'g');
end
$$;

-- The separators are the control, blank, punctuation and other symbols of Unicode.
create function desk_private.plain_words(plain text) returns text[]
language plpgsql immutable set search_path = '' as $$
begin
  return array_remove(
    string_to_array(
      regexp_replace(
        plain,
        '[\u0001-/:-@[-`{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u02c2-\u02df'
          '\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u05f3\u05f4\u0600-\u060f'
          '\u061b-\u061f\u066a-\u066d\u06d4\u0964\u0965\u0970\u0df4\u0e2f\u0e3f\u0e4f\u0e5a\u0e5b'
          '\u0f04-\u0f14\u104a-\u104f\u1360-\u1368\u1680\u17d4-\u17db\u1800-\u180e\u2000-\u25ff'
          '\u27c0-\u2bff\u2e00-\u2e7f\u2ff0-\u3004\u3008-\u3040\u30fb\ue000-\uf8ff\ufdd0-\ufdef'
          '\ufe10-\ufe6f\ufff0-\uffff\U000e0000-\U0010ffff]+',
        ' ', 'g'),
      ' '),
    '');
end
$$;

-- The end of a word beyond 64 characters does not count.
create function desk_private.stem(word text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return (ts_lexize('desk_private.stems', left(word, 64)))[1];
end
$$;

-- Identifiers are found joined, too: INV-2024-12345 as inv202412345, inv2024 and 202412345, and a
-- number in groups (an IBAN, a telephone number) as one. At most eight parts are joined. Of two
-- neighbours one has a digit, and the first 300 identifiers of a text count.
create function desk_private.joined_words(plain text) returns text[]
language plpgsql immutable set search_path = '' as $$
begin
  if plain !~ '[0-9][-./_:,#+() ]' and plain !~ '[-./_:,#+() ][0-9]' then
    return '{}';
  end if;
  return array(
    select distinct j.joined
    from (
      select desk_private.plain_words(m[1]) as parts from (
        select regexp_matches(
          plain, '([^\s!-/:-@[-`{-~]+(?:[-./_:,#+]{1,2}[^\s!-/:-@[-`{-~]+){1,7})', 'g')
        union all
        select regexp_matches(
          plain, '([a-z]*[0-9][a-z0-9]*(?:[-./() ]{1,3}[a-z]*[0-9][a-z0-9]*){1,7})', 'g')
      ) as found (m)
      limit 300
    ) as runs
    cross join lateral generate_series(1, cardinality(runs.parts) - 1) as first
    cross join lateral generate_series(
      first + 1, cardinality(runs.parts)) as last
    cross join lateral (
      select array_to_string(runs.parts[first : last], '') as joined,
        array_to_string(runs.parts[first : last], ' ') as spaced
    ) as j
    where j.joined ~ '[0-9]' and char_length(j.joined) <= 40
      and j.spaced !~ '(^| )[^0-9 ]+ [^0-9 ]+( |$)'
  );
end
$$;

-- The tsvector of a text, in its text form, and the number of its words. Positions end at 16,383.
-- They begin anew at 16,000, so a long conversation keeps its phrases. Of a word, 255 are kept.
create function desk_private.search_words(
  given text, weight text, before integer default 0, out words text, out places integer
)
language plpgsql immutable set search_path = '' as $$
declare
  plain text := desk_private.plain_text(given);
  list text[] := desk_private.plain_words(plain);
begin
  places := cardinality(list);
  words := concat_ws(' ',
    (
      select string_agg(
        '''' || (ts_lexize('desk_private.stems', left(word, 64)))[1] || ''':'
          || 1 + (before + place - 1) % 16000 || weight, ' ')
      from unnest(list) with ordinality as w (word, place)
    ),
    (
      select string_agg(
        '''' || desk_private.stem(joined) || ''':' || 1 + before % 16000 || weight, ' ')
      from unnest(desk_private.joined_words(plain)) as joined
    ));
end
$$;

-- The text that full-text search reads, by weight: A the subject, B the description, the public
-- messages and the resolution, C the requester's name and address, D the internal notes. A narrow
-- table beside the tickets, so that a reply does not rewrite a wide row.
create table desk_private.ticket_search (
  ticket_id uuid primary key references desk.support_tickets (id) on delete cascade,
  created_at timestamptz not null,
  words tsvector not null,
  places integer not null default 0
);

comment on column desk_private.ticket_search.places is 'At least the number of words so far.';

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

create function desk_private.ticket_marks(t desk.support_tickets) returns tsvector
language plpgsql immutable set search_path = '' as $$
begin
  return array_to_tsvector(array_remove(array[
    desk_private.customer_mark(t.customer_id), desk_private.branch_mark(t.branch_id),
    desk_private.time_mark(desk_private.time_unit(t.created_at))
  ], null));
end
$$;

create function desk_private.requester_words(t desk.support_tickets) returns tsvector
language plpgsql immutable set search_path = '' as $$
begin
  return (desk_private.search_words(
    concat_ws(' ', t.requester_name, t.requester_email), 'C')).words::tsvector;
end
$$;

create function desk_private.ticket_words(t desk.support_tickets) returns tsvector
language plpgsql immutable set search_path = '' as $$
begin
  return (desk_private.search_words(t.subject, 'A')).words::tsvector
    || (desk_private.search_words(t.description, 'B')).words::tsvector
    || desk_private.requester_words(t)
    || desk_private.ticket_marks(t);
end
$$;

-- A search index must not fail a write. A tsvector holds at most 1 MB, and its size cannot be
-- predicted, so a text that does not fit is left out.
create function desk_private.index_ticket() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  words tsvector := desk_private.ticket_marks(new);
begin
  begin
    words := desk_private.ticket_words(new);
  exception when others then
    null;
  end;
  insert into desk_private.ticket_search (ticket_id, created_at, words, places)
  values (new.id, new.created_at, words,
    (octet_length(new.subject) + octet_length(new.description)) / 2);
  return null;
end
$$;

create trigger tickets_30_index after insert on desk.support_tickets
  for each row execute function desk_private.index_ticket();

-- Adds a text to the search vector of a ticket. `||` moves positions behind those before, up to
-- their end. From there on the positions are written out.
create function desk_private.index_text(ticket_id uuid, body text, weight text) returns void
language plpgsql security definer set search_path = '' as $$
declare
  s desk_private.ticket_search;
  added record := desk_private.search_words(body, weight);
begin
  select k.* into s from desk_private.ticket_search k
  where k.ticket_id = index_text.ticket_id and length(k.words) < 10000
  for no key update;
  if s.places + added.places < 16000 then
    s.words := s.words || added.words::tsvector;
  else
    added := desk_private.search_words(body, weight, s.places);
    s.words := (s.words::text || ' ' || added.words)::tsvector;
  end if;
  update desk_private.ticket_search k
  set words = s.words, places = s.places + added.places
  where k.ticket_id = s.ticket_id;
exception when others then
  null;
end
$$;

create function desk_private.index_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.index_text(
    new.ticket_id, new.body, case when new.is_internal then 'D' else 'B' end);
  return null;
end
$$;

-- A transcript comes whole and is indexed whole.
create trigger messages_30_index after insert on desk.ticket_messages
  for each row when (new.transcript_place is null)
    execute function desk_private.index_message();

create function desk_private.index_resolution() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.index_text(new.id, new.resolution, 'B');
  return null;
end
$$;

create trigger tickets_30_index_resolution after update on desk.support_tickets
  for each row when (new.resolution is distinct from old.resolution and new.resolution is not null)
    execute function desk_private.index_resolution();

-- Replaces the requester's words and marks, which leaves the texts as they are: the deletion of a
-- person reads none of their conversations again.
create function desk_private.index_requester() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update desk_private.ticket_search s
  set words = ts_filter(s.words, '{a,b,d}')
    || desk_private.requester_words(new) || desk_private.ticket_marks(new)
  where s.ticket_id = new.id;
  return null;
exception when program_limit_exceeded then
  update desk_private.ticket_search s
  set words = ts_filter(s.words, '{a,b,d}') || desk_private.ticket_marks(new)
  where s.ticket_id = new.id;
  return null;
end
$$;

create trigger tickets_30_index_requester after update on desk.support_tickets
  for each row when (
    (new.customer_id, new.requester_name, new.requester_email)
      is distinct from (old.customer_id, old.requester_name, old.requester_email))
    execute function desk_private.index_requester();

revoke execute on all functions in schema desk_private from public;
