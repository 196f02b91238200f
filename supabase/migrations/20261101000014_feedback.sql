-- Feedback on the product. It is not a ticket: nothing is owed, and an answer is optional.

create table desk.user_feedback (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references auth.users (id) on delete set null,
  branch_id text check (char_length(branch_id) between 1 and 100),
  category text not null check (
    category in ('feature_request', 'improvement', 'complaint', 'praise', 'other')),
  description text not null check (
    char_length(description) between 1 and 20000 and description ~ '\S'),
  rating integer check (rating between 1 and 5),
  feature_name text check (char_length(feature_name) between 1 and 100),
  would_recommend boolean,
  status text not null default 'received' check (
    status in ('received', 'reviewed', 'planned', 'done', 'declined')),
  admin_response text check (char_length(admin_response) between 1 and 20000),
  reviewed_at timestamptz,
  created_at timestamptz not null default now()
);

create index user_feedback_user on desk.user_feedback (user_id, created_at desc, id desc);
create index user_feedback_status on desk.user_feedback (status, created_at desc, id desc);

create index user_feedback_branch
  on desk.user_feedback (branch_id, created_at desc, id desc) where branch_id is not null;

alter table desk.user_feedback enable row level security;

comment on table desk.user_feedback is
  'Feature requests, complaints and praise. People read their own, agents those of their branch.';
comment on column desk.user_feedback.branch_id is
  'The branch of the customer on the day of the feedback.';

create policy select_own_or_as_agent_of_the_branch
  on desk.user_feedback for select to authenticated
  using (
    user_id = (select desk_private.caller())
    or (select desk_private.is_unbound_agent())
    or branch_id = (select desk_private.agent_branch())
  );

revoke all on desk.user_feedback from public, anon, authenticated, service_role;
grant select on desk.user_feedback to authenticated, service_role;

-- Checks and stores feedback. Rights and quota are settled before.
create function desk_private.keep_feedback(
  giver uuid, category text, description text, rating integer, feature_name text,
  would_recommend boolean
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  f desk.user_feedback;
begin
  perform desk_private.fail_fields(
    desk_private.choice_problem(
      'category', category, '{feature_request,improvement,complaint,praise,other}')
    || desk_private.text_problem('description', description, 20000)
    || desk_private.text_problem('feature_name', feature_name, 100, false)
    || case when rating not between 1 and 5 then desk_private.problem('rating', 'must be 1 to 5')
      else '[]'::jsonb end);
  insert into desk.user_feedback as k (
    user_id, branch_id, category, description, rating, feature_name, would_recommend)
  values (giver,
    (select b.branch_id from desk.customer_branches b where b.customer_id = giver),
    keep_feedback.category, keep_feedback.description, keep_feedback.rating,
    keep_feedback.feature_name,
    keep_feedback.would_recommend)
  returning k.* into f;
  return jsonb_build_object(
    'feedback_id', f.id, 'category', f.category, 'created_at',
      desk_private.wire_time(f.created_at));
end
$$;

create function desk_private.create_feedback(
  category text, description text, rating integer, feature_name text, would_recommend boolean,
  idempotency_key text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  me uuid := desk_private.require_caller();
  answer jsonb;
begin
  answer := desk_private.replayed_answer(me::text, 'create_feedback', idempotency_key,
    jsonb_build_array(category, description, rating, feature_name, would_recommend));
  if answer is not null then
    return answer;
  end if;
  answer := desk_private.keep_feedback(me, category, description, rating, feature_name,
    would_recommend);
  if not desk_private.is_agent() then
    perform desk_private.spend_quota(me::text, 'feedback');
  end if;
  return desk_private.remember_answer(me::text, 'create_feedback', idempotency_key, answer);
end
$$;

create function desk.create_feedback(
  category text, description text, rating integer default null, feature_name text default null,
  would_recommend boolean default null, idempotency_key text default null
) returns jsonb
language sql security invoker set search_path = '' as $$
  select desk_private.create_feedback(
    category, description, rating, feature_name, would_recommend, idempotency_key)
$$;

comment on function desk.create_feedback is
  'Takes the caller''s feedback: {feedback_id, category, created_at}.';

revoke execute on all functions in schema desk_private from public;
revoke all on function desk.create_feedback from public, anon, authenticated, service_role;
grant execute on function desk_private.create_feedback, desk.create_feedback to authenticated;
