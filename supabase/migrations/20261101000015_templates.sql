-- Templates: texts for agents' replies, and the automatic first reply of a category.
--
-- {{name}} is replaced literally and once: a value that looks like a template stays as it is. A
-- name has lower-case letters, digits and _. Anything else in double braces is refused.

create table desk.reply_templates (
  slug text primary key check (slug ~ '^[a-z][a-z0-9_]{0,49}$'),
  name text not null check (char_length(name) between 1 and 100),
  body text not null check (char_length(body) between 1 and 20000 and body ~ '\S'),
  is_active boolean not null default true,
  updated_at timestamptz not null default now()
);

alter table desk.reply_templates enable row level security;

comment on table desk.reply_templates is
  'Replies with {{variables}}. Admins edit them here, under RLS.';

create policy select_as_agent on desk.reply_templates for select to authenticated
  using ((select desk_private.is_agent()));
create policy insert_as_admin on desk.reply_templates for insert to authenticated
  with check ((select desk_private.is_admin()));
create policy update_as_admin on desk.reply_templates for update to authenticated
  using ((select desk_private.is_admin())) with check ((select desk_private.is_admin()));
create policy delete_as_admin on desk.reply_templates for delete to authenticated
  using ((select desk_private.is_admin()));

revoke all on desk.reply_templates from public, anon, authenticated, service_role;
grant select, delete on desk.reply_templates to authenticated;
grant insert (slug, name, body, is_active), update (name, body, is_active)
  on desk.reply_templates to authenticated;
grant select on desk.reply_templates to service_role;

insert into desk.reply_templates (slug, name, body) values
  ('received', 'We have your request',
    E'Hello {{customer_name}},\n\n'
    'thank you for writing. Your request {{ticket_number}} has arrived, '
    'and a person will answer it.'),
  ('need_details', 'We need more details',
    E'Hello {{customer_name}},\n\n'
    'to help with {{ticket_number}} we need to know: {{question}}\n\n{{agent_name}}'),
  ('resolved', 'This should be solved',
    E'Hello {{customer_name}},\n\n'
    'this should be solved now. If it is not, just reply and {{ticket_number}} opens again.\n\n'
    '{{agent_name}}');

alter table desk.ticket_categories
  add column auto_reply text
    references desk.reply_templates (slug) on update cascade on delete set null;
create index ticket_categories_auto_reply on desk.ticket_categories (auto_reply);
grant insert (auto_reply), update (auto_reply) on desk.ticket_categories to authenticated;

comment on column desk.ticket_categories.auto_reply is
  'The template that answers every new ticket at once. It does not stop the first-response clock.';

-- The variables of every ticket. They hold no text of an anonymous form: an automatic reply goes to
-- an unverified address, and must not carry the sender's words.
create function desk_private.template_variables(t desk.support_tickets, agent uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'ticket_number', t.ticket_number, 'status', t.status, 'priority', t.priority,
    'category', (select c.name from desk.ticket_categories c where c.slug = t.category),
    'subject', case when t.customer_id is null then 'your request' else t.subject end,
    'customer_name', coalesce(
      case when t.customer_id is not null then t.requester_name end, 'there'),
    'agent_name', coalesce(
      (select a.display_name from desk.support_agents a where a.user_id = agent), 'Support')
  )
$$;

-- Splits a template into verbatim text and variable names.
create function desk_private.template_parts(body text) returns table (
  place bigint, verbatim text, variable text
)
language sql immutable set search_path = '' as $$
  select m.place, m.parts[2], m.parts[1]
  from regexp_matches(template_parts.body, '\{\{\s*([a-z][a-z0-9_]*)\s*\}\}|([^{]+|\{)', 'g')
    with ordinality as m (parts, place)
$$;

-- Problems of what stands in double braces and is no variable.
create function desk_private.placeholder_problems(path text, body text) returns jsonb
language sql immutable set search_path = '' as $$
  select coalesce((
    select desk_private.problem(path, format(
      'must have names like {{customer_name}} in double braces, not %s', left(m.parts[1], 60)))
    from regexp_matches(
      regexp_replace(body, '\{\{\s*[a-z][a-z0-9_]*\s*\}\}', '', 'g'), '(\{\{.*?\}\})') as m (parts)
  ), '[]')
$$;

create function desk_private.render_template(template text, variables jsonb) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
  body text := (
    select r.body from desk.reply_templates r where r.slug = template and r.is_active);
  missing text;
begin
  if body is null then
    perform desk_private.fail_fields(desk_private.problem('template', 'must be one of ' || coalesce(
      (select string_agg(r.slug, ', ' order by r.slug) from desk.reply_templates r
        where r.is_active),
      'none, there are none')));
  end if;
  perform desk_private.fail_fields(desk_private.placeholder_problems('template', body));
  select string_agg(distinct p.variable, ', ' order by p.variable) into missing
  from desk_private.template_parts(body) p
  where p.variable is not null and variables ->> p.variable is null;
  if missing is not null then
    perform desk_private.fail_fields(
      desk_private.problem('variables',
        format('the template %s also needs %s', template, missing)));
  end if;
  return (
    select string_agg(coalesce(p.verbatim, variables ->> p.variable), '' order by p.place)
    from desk_private.template_parts(body) p);
end
$$;

-- An automatic reply may use the variables of the ticket alone.
create function desk_private.check_auto_reply(template text) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  known jsonb := desk_private.template_variables(null::desk.support_tickets, null);
  unknown text;
begin
  select string_agg(distinct p.variable, ', ' order by p.variable) into unknown
  from desk.reply_templates r, desk_private.template_parts(r.body) p
  where r.slug = template and p.variable is not null and not known ? p.variable;
  if unknown is not null then
    perform desk_private.fail_fields(desk_private.problem('auto_reply', format(
      'the template %s uses %s; an automatic reply knows %s only', template, unknown,
      (select string_agg(name, ', ' order by name) from jsonb_object_keys(known) as name))));
  end if;
end
$$;

create function desk_private.check_category_reply() returns trigger
language plpgsql set search_path = '' as $$
begin
  perform desk_private.check_auto_reply(new.auto_reply);
  return null;
end
$$;

create trigger categories_10_check_reply after insert or update of auto_reply
  on desk.ticket_categories
  for each row when (new.auto_reply is not null)
    execute function desk_private.check_category_reply();

create function desk_private.check_placeholders() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform desk_private.fail_fields(desk_private.placeholder_problems('body', new.body));
  return new;
end
$$;

create trigger templates_05_check_placeholders before insert or update of body
  on desk.reply_templates
  for each row execute function desk_private.check_placeholders();

create function desk_private.check_template_use() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from desk.ticket_categories c where c.auto_reply = new.slug) then
    perform desk_private.check_auto_reply(new.slug);
  end if;
  return null;
end
$$;

create trigger templates_10_check_use after update of body on desk.reply_templates
  for each row execute function desk_private.check_template_use();

revoke execute on all functions in schema desk_private from public;
grant execute on function desk_private.check_auto_reply to authenticated;
