-- Categories of tickets. They are data, not code: admins add, rename and retire them in the table.

create table desk.ticket_categories (
  slug text primary key check (slug ~ '^[a-z][a-z0-9_]{0,49}$'),
  name text not null check (char_length(name) between 1 and 100),
  description text not null default '' check (char_length(description) <= 500),
  position integer not null default 100,
  is_active boolean not null default true,
  auto_assign boolean not null default false,
  linear_team text check (char_length(linear_team) between 1 and 100),
  linear_label text check (char_length(linear_label) between 1 and 100),
  linear_follows boolean not null default true
);

alter table desk.ticket_categories enable row level security;

comment on table desk.ticket_categories is
  'The subjects of tickets. A retired category keeps its tickets and takes no new ones.';
comment on column desk.ticket_categories.auto_assign is
  'New tickets go to the least loaded agent with the skill.';
comment on column desk.ticket_categories.linear_team is
  'The key of the Linear team that gets an issue for every ticket; null: none.';
comment on column desk.ticket_categories.linear_label is
  'The label of those issues; made in Linear when it is missing there.';
comment on column desk.ticket_categories.linear_follows is
  'Replies and changes of status follow to the issue.';

create policy select_active_or_as_agent
  on desk.ticket_categories for select to authenticated
  using (is_active or (select desk_private.is_agent()));
create policy insert_as_admin on desk.ticket_categories for insert to authenticated
  with check ((select desk_private.is_admin()));
create policy update_as_admin on desk.ticket_categories for update to authenticated
  using ((select desk_private.is_admin())) with check ((select desk_private.is_admin()));
create policy delete_as_admin on desk.ticket_categories for delete to authenticated
  using ((select desk_private.is_admin()));

revoke all on desk.ticket_categories from public, anon, authenticated, service_role;
grant select, delete on desk.ticket_categories to authenticated;
grant insert (
    slug, name, description, position, is_active, auto_assign, linear_team, linear_label,
    linear_follows),
  update (
    name, description, position, is_active, auto_assign, linear_team, linear_label,
    linear_follows)
  on desk.ticket_categories to authenticated;
grant select on desk.ticket_categories to service_role;

insert into desk.ticket_categories (slug, name, description, position) values
  ('bug', 'Bug', 'Something in the product does not work as it should.', 10),
  ('chatbot', 'Chatbot answer', 'An answer of the assistant that is wrong or not good enough.', 20),
  ('app_error', 'App error', 'Crashes and error messages.', 30),
  ('technical', 'Technical issue', 'Integrations, devices and set-up.', 40),
  ('account', 'Account', 'Profile, plan and settings.', 50),
  ('account_access', 'Account access', 'Signing in, lock-outs, two-factor codes.', 60),
  ('security_concern', 'Security concern', 'Fraud, hacking, unauthorised activity.', 70),
  ('billing', 'Billing', 'Invoices, charges and refunds.', 80),
  ('payments', 'Payments', 'Paying and being paid.', 90),
  ('banking_issue', 'Banking issue', 'Transfers, deposits and withdrawals.', 100),
  ('transaction_error', 'Transaction error', 'A payment that failed or went wrong.', 110),
  ('dispute', 'Dispute', 'A disagreement about an order or a charge.', 120),
  ('buying', 'Buying', 'Orders and purchases.', 130),
  ('selling', 'Selling', 'Listings and sales.', 140),
  ('getting_started', 'Getting started', 'First steps.', 150),
  ('feature_question', 'Feature question', 'How something is done.', 160),
  ('other', 'Other', 'Everything else.', 990);

-- The category of a report that names none, by issue type.
create table desk_private.issue_types (
  issue_type text primary key,
  default_category text not null references desk.ticket_categories (slug) on update cascade
);

create index issue_types_default_category on desk_private.issue_types (default_category);

insert into desk_private.issue_types (issue_type, default_category) values
  ('chatbot', 'chatbot'),
  ('other', 'other'),
  ('bug', 'bug'),
  ('support', 'other'),
  ('contact', 'other'),
  ('ai_transfer', 'other'),
  ('webhook', 'other');

create function desk_private.category_problem(path text, given text) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  return (
    select case
      when exists (select from desk.ticket_categories where slug = given and is_active)
        then '[]'::jsonb
      else desk_private.problem(path, 'must be one of ' || (
        select string_agg(slug, ', ' order by position, slug) from desk.ticket_categories
        where is_active
      ))
    end
  );
end
$$;

-- An agent's skills name categories, so that automatic assignment cannot miss for a typing error.
create function desk_private.check_skills() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  unknown text;
begin
  select skill into unknown
  from unnest(new.skills) as skill
  where not exists (select from desk.ticket_categories where slug = skill)
  limit 1;
  if unknown is not null then
    perform desk_private.fail_fields(desk_private.problem('skills',
      format('%L is not a category', unknown)));
  end if;
  return new;
end
$$;

create trigger agents_10_check_skills before insert or update of skills on desk.support_agents
  for each row execute function desk_private.check_skills();

-- Nobody without an account reads a table: PostgREST filters tables by regular expressions, and
-- one request can keep a connection busy for seconds.
create function desk_private.list_categories() returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object('categories', coalesce(jsonb_agg(
    jsonb_build_object('category', slug, 'name', name, 'description', description)
      order by position, slug), '[]'))
  from desk.ticket_categories
  where is_active
$$;

create function desk.list_categories() returns jsonb
language sql stable security invoker set search_path = ''
as $$ select desk_private.list_categories() $$;

comment on function desk.list_categories is
  'Active categories in their order: {categories: [{category, name, description}]}.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.list_categories from public, anon, authenticated, service_role;
grant execute on function desk_private.list_categories, desk.list_categories
  to anon, authenticated;
