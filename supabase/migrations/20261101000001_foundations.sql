-- Foundations: the two schemas, errors, settings, and checks of texts, URLs and e-mail
-- addresses.
--
-- PostgREST exposes `desk`. `desk_private` is never exposed: it holds tables that no client reads,
-- and the functions that do the work. An RPC in `desk` is a thin `security invoker` wrapper over a
-- `security definer` function in `desk_private`. The first line of that function checks rights, so
-- every invariant holds for every client.
--
-- Functions of hot paths are plpgsql even where one expression would do: plpgsql keeps its plans
-- for the session. A SQL function that pins its search_path is planned again by every calling
-- statement.
--
-- In a body `t` is the ticket and `o` the outbox row at hand; statements beside them call the
-- tables `s` and `b`. An argument `ref` is a ticket's number or id as text, `ticket_id` a uuid.

create schema desk;
grant usage on schema desk to anon, authenticated, service_role;
comment on schema desk is 'The API of the desk: tables under RLS, and functions. Exposed.';

-- It may be there already: the runner of migrations keeps its history in it.
create schema if not exists desk_private;
revoke all on schema desk_private from public;
grant usage on schema desk_private to anon, authenticated, service_role;

comment on schema desk_private is
  'Helpers, quotas, idempotency keys and everything else that is not an API. Never exposed.';

-- Errors. Each state is mapped to an HTTP status by one table in shared/errors.py; the detail is
-- JSON.
--
--   SD401 not signed in                    SD091 illegal status transition
--   SD403 not allowed                      SD092 stale version
--   SD404 no such ticket (for this caller) SD093 idempotency key reused with another request
--   SD422 invalid arguments                SD094 an answer that came too late or too early
--   SD429 quota used up
create function desk_private.fail(state text, message text, detail jsonb default null) returns void
language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = fail.state, message = fail.message,
    detail = coalesce(fail.detail::text, '');
end
$$;

-- A refusal whose detail holds what people wrote. PostgreSQL logs the detail of every error, so
-- this one is the function's result, and PostgREST answers with its status. Nothing may be
-- written before.
create function desk_private.refusal(
  status integer, state text, message text, detail jsonb
) returns jsonb
language plpgsql set search_path = '' as $$
begin
  perform set_config('response.status', refusal.status::text, true);
  return jsonb_build_object(
    'code', refusal.state, 'message', refusal.message, 'details', refusal.detail::text,
    'hint', null);
end
$$;

-- A by-product must not fail the write it belongs to. Its trigger catches what values cause, and
-- nothing that a retry of the whole may mend. The log names the trigger, and no words of people.
create function desk_private.skip_by_product(name text, state text) returns void
language plpgsql set search_path = '' as $$
begin
  raise warning 'left out: % failed with %', name, state;
end
$$;

create function desk_private.fail_fields(problems jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  if jsonb_array_length(problems) > 0 then
    perform desk_private.fail(
      'SD422',
      problems -> 0 ->> 'path' || ' ' || (problems -> 0 ->> 'message') || '.',
      jsonb_build_object('fields', problems)
    );
  end if;
end
$$;

comment on function desk_private.fail_fields is
  'Raises SD422 naming every wrong argument, or does nothing when the array of {path, message} is '
  'empty.';

create function desk_private.problem(path text, message text) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return jsonb_build_array(jsonb_build_object('path', path, 'message', message));
end
$$;

-- Settings that an operator decides once per project. No client may read them.
create table desk_private.settings (
  key text primary key,
  value jsonb not null
);

create function desk_private.setting(name text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select value from desk_private.settings where key = name
  );
end
$$;

create function desk_private.set_setting(name text, new_value jsonb) returns void
language sql set search_path = '' as $$
  insert into desk_private.settings (key, value) values (name, new_value)
  on conflict (key) do update set value = excluded.value
$$;

insert into desk_private.settings (key, value) values
  -- Where a chatbot's conversation is read: a URL with {domain_id} and {session_id}, or null.
  ('conversation_link', 'null'),
  -- The hosts that a conversation's link may name.
  ('conversation_hosts', '[]'),
  ('ticket_token_days', '90');

-- Checks of input. CHECKs and argument checks share them, so they are immutable and read no table.

-- The same characters as in shared/text.py, inside a bracket expression of a regular expression.
-- Unprintable ones are controls, directions and what hides text. Invisible ones also shape it.
create function desk_private.unprintable() returns text
language plpgsql immutable set search_path = '' as $$
begin
  return '\u0001-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069'
    '\u115f\u1160\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0'
    '\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e007f';
end
$$;

create function desk_private.invisible() returns text
language plpgsql immutable set search_path = '' as $$
begin
  return desk_private.unprintable()
    || '\u00ad\u034f\u17b4\u17b5\u180b-\u180d\u180f\u200c\u200d\u2800\ufe00-\ufe0f'
    '\U00016fe4\U000e0080-\U000e0fff';
end
$$;

-- Blanks are listed: what \s means depends on the locale.
create function desk_private.is_blank(given text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return given !~ ('[^\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f'
    '\u3000' || desk_private.invisible() || ']');
end
$$;

create function desk_private.text_problem(
  path text, given text, longest integer, required boolean default true
) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when given is null and not required then '[]'::jsonb
    -- Before the expression, which reads the whole text.
    when char_length(given) > longest
      then desk_private.problem(
        path, format('must be at most %s characters, it has %s', longest, char_length(given)))
    when given is null or desk_private.is_blank(given)
      then desk_private.problem(path, 'is required and must not be blank')
    else '[]'::jsonb
  end;
end
$$;

create function desk_private.choice_problem(path text, given text, choices text[]) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when given = any (choices) then '[]'::jsonb
    else desk_private.problem(path, 'must be one of ' || array_to_string(choices, ', '))
  end;
end
$$;

create function desk_private.is_web_url(url text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return char_length(url) <= 2048
    and url !~ '[[:cntrl:][:space:]"<>\\^`{|}]'
    and url ~ ('^(https://([^/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])'
      '|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]{1,5})?([/?#].*)?$')
    and url !~ ('[' || desk_private.unprintable() || ']')
    and substring(url from '^https?://[^/?#]*') !~ ('[' || desk_private.invisible() || ']');
end
$$;

comment on function desk_private.is_web_url is
  'An https URL (http on loopback) without credentials, blanks, control or invisible characters. '
  'URLs are never fetched.';

create function desk_private.url_host(url text) returns text
language sql immutable set search_path = ''
as $$ select lower(substring(url from '^https?://(\[[^\]]*\]|[^/?#:]+)')) $$;

create function desk_private.url_problems(path text, urls text[]) returns jsonb
language plpgsql immutable set search_path = '' as $$
begin
  if cardinality(urls) = 0 then
    return '[]';
  end if;
  if cardinality(urls) > 10 then
    return desk_private.problem(path, 'must have at most 10 URLs');
  end if;
  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'path', path || '.' || place - 1, 'message', 'must be an https:// URL'))
        filter (where desk_private.is_web_url(url) is not true),
      '[]'
    )
    from unnest(urls) with ordinality as given (url, place)
  );
end
$$;

create function desk_private.url_encoded(part text) returns text
language sql immutable set search_path = '' as $$
  select coalesce(string_agg(
    case
      when letter ~ '^[A-Za-z0-9_.~-]$' then letter
      else upper(regexp_replace(encode(convert_to(letter, 'UTF8'), 'hex'), '(..)', '%\1', 'g'))
    end, ''), '')
  from regexp_split_to_table(part, '') as letter
$$;

create function desk_private.is_email(address text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return char_length(address) <= 254
    and address ~ ('^[^[:space:][:cntrl:]@<>(),;:\\"\[\]]+@[^[:space:][:cntrl:]@<>(),;:\\"\[\]]+'
      '\.[^[:space:][:cntrl:]@<>(),;:\\"\[\].]+$')
    and address !~ ('[' || desk_private.unprintable() || ']')
    and split_part(address, '@', 1) !~ ('[' || desk_private.invisible() || ']');
end
$$;

create function desk_private.is_uuid(given text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return given ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';
end
$$;

-- RFC 3339 in UTC, whatever the session's time zone.
create function desk_private.wire_time(moment timestamptz) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
end
$$;

-- PostgreSQL also reads "infinity", "yesterday" and years that no answer can carry.
create function desk_private.moment_problem(path text, given text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if given is null or given ~ '^[0-9]{4}-'
    and given::timestamptz between '1970-01-01 00:00:00+00' and '9999-12-31 00:00:00+00'
  then
    return '[]';
  end if;
  return desk_private.problem(path, 'must be a time like 2026-01-31T12:00:00Z');
exception when data_exception then
  return desk_private.problem(path, 'must be a time like 2026-01-31T12:00:00Z');
end
$$;

create function desk_private.sha256(given text) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return encode(sha256(convert_to(given, 'UTF8')), 'hex');
end
$$;

revoke execute on all functions in schema desk_private from public;
grant execute on function desk_private.wire_time to authenticated;
