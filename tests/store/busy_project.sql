-- An app that lives in its project already: names that a desk might want, and ways of its own with rights.

create role reporting nologin;
create role moderator nologin;
grant reporting to moderator;

create table public.profiles (id uuid primary key references auth.users on delete cascade, name text);
create table public.notifications (
  id bigint generated always as identity primary key,
  user_id uuid references auth.users on delete cascade,
  body text
);
create table public.settings (key text primary key, value text);
create table public.support_tickets (id int primary key, subject text);
create index notifications_user on public.notifications (user_id);

alter table public.profiles enable row level security;
alter table public.notifications enable row level security;
alter table public.settings enable row level security;
create policy everybody on public.profiles for select using (true);
create policy everybody on public.notifications for all to authenticated using (true) with check (true);
create policy everybody on public.settings for select to anon, authenticated using (true);
grant select on public.profiles, public.settings to anon, authenticated, reporting;
grant all on public.notifications to authenticated;

create view public.stats as select count(*) as people from public.profiles;
grant select on public.stats to reporting;

create function public.sweep() returns integer language sql as $$ select 42 $$;
create function public.create_ticket(subject text) returns text language sql as $$ select upper(subject) $$;

create schema private;
grant usage on schema private to authenticated;
create table private.settings (key text primary key, value jsonb not null);
create table private.outbox (id bigint primary key, state text);
create table private.quotas (id int);
create function private.fail(state text, message text, detail jsonb default null) returns void
  language plpgsql as $$ begin raise exception '%', message; end $$;
create function private.setting(name text) returns jsonb
  language sql stable as $$ select value from private.settings where key = name $$;
create function private.is_agent() returns boolean language sql as $$ select true $$;
insert into private.settings values ('theirs', '1');
insert into public.settings values ('theme', 'dark');

-- Each account gets a profile; a desk must neither break this nor be broken by it.
create function private.add_profile() returns trigger
  language plpgsql security definer set search_path = ''
  as $$ begin insert into public.profiles values (new.id, split_part(new.email, '@', 1)); return new; end $$;
create trigger add_profile after insert on auth.users for each row execute function private.add_profile();

alter publication supabase_realtime add table public.notifications;
alter default privileges in schema public grant select on tables to reporting;
alter role reporting set statement_timeout = '1min';

-- Where older projects have their extensions.
create extension unaccent with schema public;
