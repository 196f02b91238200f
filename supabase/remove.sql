-- Takes the desk out of a project, with everything in it. Run it as postgres, and take `desk` out of the exposed
-- schemas before: a newer PostgREST does not start while one that it exposes is missing. See docs/removing.md.
--
-- Nothing outside the two schemas is touched. What belongs to the app and leans on the desk, a view for example,
-- stops the removal and is named.

begin;

-- Foreign keys to auth.users and triggers on it go too, which needs a lock of it: better to give up than to hold sign-ins up.
set local lock_timeout = '10s';

do $$
declare
  leaning text;
begin
  if to_regnamespace('desk') is not null and to_regclass('desk.support_tickets') is null then
    raise exception 'the schema desk is another one, and not this desk''s';
  end if;
  if exists (
    select from pg_db_role_setting s, unnest(s.setconfig) as setting
    where setting ~ '^pgrst\.db_schemas=' and setting ~ '\mdesk\M'
  ) then
    raise exception 'desk is still among the exposed schemas: take it out first';
  end if;

  with desk as (
    select oid from pg_namespace where nspname in ('desk', 'desk_private')
  ), objects (classid, objid) as (
    select 'pg_class'::regclass, c.oid from pg_class c where c.relnamespace in (select oid from desk)
    union all
    select 'pg_type'::regclass, t.oid from pg_type t where t.typnamespace in (select oid from desk)
    union all
    select 'pg_proc'::regclass, p.oid from pg_proc p where p.pronamespace in (select oid from desk)
  ), homes (classid, objid, schema) as (
    select 'pg_class'::regclass, c.oid, c.relnamespace from pg_class c
    union all
    select 'pg_type'::regclass, t.oid, t.typnamespace from pg_type t
    union all
    select 'pg_proc'::regclass, p.oid, p.pronamespace from pg_proc p
    union all
    select 'pg_constraint'::regclass, n.oid, n.connamespace from pg_constraint n
    union all
    select 'pg_rewrite'::regclass, r.oid, c.relnamespace
    from pg_rewrite r join pg_class c on c.oid = r.ev_class
    union all
    select 'pg_trigger'::regclass, g.oid, c.relnamespace
    from pg_trigger g join pg_class c on c.oid = g.tgrelid where not g.tgisinternal
    union all
    select 'pg_policy'::regclass, p.oid, c.relnamespace
    from pg_policy p join pg_class c on c.oid = p.polrelid
    union all
    select 'pg_attrdef'::regclass, a.oid, c.relnamespace
    from pg_attrdef a join pg_class c on c.oid = a.adrelid
  )
  select string_agg(distinct pg_describe_object(d.classid, d.objid, 0), ', ') into leaning
  from pg_depend d
  join objects o on o.classid = d.refclassid and o.objid = d.refobjid
  join homes h on h.classid = d.classid and h.objid = d.objid
  where h.schema not in (select oid from desk)
    -- The rows of TOAST and the like belong to their tables.
    and h.schema <> 'pg_toast'::regnamespace
    -- The desk's own triggers on auth.users go with their function.
    and not exists (
      select from pg_trigger g
      where d.classid = 'pg_trigger'::regclass and g.oid = d.objid
        and g.tgrelid = 'auth.users'::regclass
        and g.tgname in ('supadesk_forget_deleted', 'supadesk_forget_softly_deleted'));

  if leaning is not null then
    raise exception 'this leans on the desk, drop or change it first: %', leaning;
  end if;
end
$$;

drop schema if exists desk, desk_private cascade;

commit;
