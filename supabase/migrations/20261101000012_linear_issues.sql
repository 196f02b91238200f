-- The Linear issue of a ticket: its stored state, and its presentation.
--
-- The chapters linear and linear_sync create and follow it; filing and reading show it.

create table desk_private.linear_issues (
  ticket_id uuid primary key references desk.support_tickets (id) on delete cascade,
  team text not null,
  identifier text,
  url text,
  state_name text,
  state_type text,
  changed_at timestamptz,
  removed_at timestamptz
);

create index linear_issues_team on desk_private.linear_issues (team);
create index linear_issues_known on desk_private.linear_issues (ticket_id)
  where identifier is not null and removed_at is null;

comment on table desk_private.linear_issues is
  'The issue of a ticket. Its identifier is null until Linear has created it.';
comment on column desk_private.linear_issues.state_type is
  'triage, backlog, unstarted, started, completed, canceled or duplicate.';
comment on column desk_private.linear_issues.changed_at is
  'Linear''s updatedAt of the stored state; older news is ignored.';

-- The issue of a ticket as create_ticket and get_ticket return it.
create function desk_private.linear_state(ticket_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  l desk_private.linear_issues;
begin
  select i.* into l from desk_private.linear_issues i
  where i.ticket_id = linear_state.ticket_id and i.removed_at is null;
  return jsonb_build_object(
    'linear', case
      when not found then 'off'
      when l.identifier is null then 'queued'
      else 'created'
    end,
    'issue_id', case when l.identifier is not null then linear_state.ticket_id end,
    'issue_identifier', l.identifier, 'issue_url', l.url);
end
$$;

revoke execute on all functions in schema desk_private from public;
