"""Tests the local fake of Linear: its API, limits, faults, webhooks and page."""

import hashlib
import hmac
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid1, uuid4

import httpx
import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema, build_schema

from local.auth.keys import load_keys
from local.linear.graphql.execution import load_schema
from local.linear.run import real_settings, run_linear
from local.people import RunningStack
from local.ports import free_ports
from tests.linear import CREATE, ENG, Linear, Listener, state_id

VIEWER = "{ viewer { id name } }"
COMMENT = "mutation($input: CommentCreateInput!) { commentCreate(input: $input) { comment { id body url } } }"
ISSUE = "query($id: String!) { issue(id: $id) { id identifier title url state { name type } } }"
UPDATE = (
    "mutation($id: String!, $input: IssueUpdateInput!) { issueUpdate(id: $id, input: $input) { success } }"
)
ATTACH = """
    mutation($input: AttachmentCreateInput!) { attachmentCreate(input: $input) { attachment { id title metadata } } }
"""


def test_an_issue_is_created_and_read_by_id_and_by_identifier(linear: Linear) -> None:
    issue_id = str(uuid4())
    made = linear.create("The export does nothing", id=issue_id)
    assert made == {"id": issue_id, "identifier": "ENG-1"}
    for key in (issue_id, "ENG-1", "eng-1"):
        issue = linear.data(ISSUE, id=key)["issue"]
        assert issue["id"] == issue_id
        assert issue["state"] == {"name": "Backlog", "type": "backlog"}
        assert issue["url"] == f"{linear.url}/issue/ENG-1"


def test_the_same_id_again_is_a_conflict_and_no_second_issue(linear: Linear) -> None:
    issue_id = linear.create()["id"]
    answer = linear.call(CREATE, input={"id": issue_id, "teamId": ENG, "title": "again"})
    [error] = answer.json()["errors"]
    assert answer.status_code == 200
    assert error["message"] == "conflict on insert of Issue"
    assert error["extensions"]["code"] == "INPUT_ERROR"
    assert error["extensions"]["userPresentableMessage"] == f"Entity Issue with id {issue_id} already exists."
    assert len(linear.records("Issue")) == 1


def test_a_comment_comes_once_under_its_id(linear: Linear) -> None:
    issue = linear.create()
    given = {"id": str(uuid4()), "issueId": issue["id"], "body": "Look at this"}
    linear.data(COMMENT, input=given)
    [error] = linear.call(COMMENT, input=given).json()["errors"]
    assert error["message"] == "conflict on insert of Comment"
    assert linear.comments(issue["id"]) == ["Look at this"]


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({"id": "SUP-00001"}, "id must be a UUID."),
        ({"id": str(uuid1())}, "id must be a UUID."),
        ({"teamId": "ENG"}, "teamId must be a UUID."),
        ({"teamId": str(uuid4())}, "teamId contained an entry that could not be found."),
        ({"stateId": state_id("Done", "OPS")}, "stateId contained an entry that could not be found."),
        ({"labelIds": [str(uuid4())]}, "labelIds contained an entry that could not be found."),
        ({"priority": 5}, "priority must be one of 0, 1, 2, 3, 4."),
        ({"title": " "}, "title should not be empty."),
        ({"createdAt": "2999-01-01T00:00:00Z"}, "createdAt cannot be in the future."),
    ],
)
def test_what_an_issue_cannot_have_is_named(linear: Linear, given: dict[str, Any], detail: str) -> None:
    answer = linear.call(CREATE, input={"teamId": ENG, "title": "x", **given}).json()
    assert [error["extensions"]["userPresentableMessage"] for error in answer["errors"]] == [detail]
    assert answer["data"] is None
    assert linear.records("Issue") == []


def test_what_the_schema_does_not_know_is_400(linear: Linear) -> None:
    unknown = linear.call("{ viewer { shoe_size } }")
    assert unknown.status_code == 400
    assert unknown.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert linear.call("{ viewer {").json()["errors"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
    assert linear.call(CREATE, input={"title": "no team"}).status_code == 400


@pytest.mark.parametrize("key", ["", "lin_api_of_somebody_else", "Bearer nonsense"])
def test_a_wrong_key_is_401(linear: Linear, key: str) -> None:
    answer = linear.call(VIEWER, key)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["extensions"]["code"] == "AUTHENTICATION_ERROR"


def test_an_api_key_goes_without_bearer_and_an_oauth_token_with_it(linear: Linear) -> None:
    wrong = linear.call(VIEWER, f"Bearer {linear.key}")
    assert wrong.status_code == 400
    assert "Remove the Bearer prefix" in wrong.json()["errors"][0]["message"]
    token = linear.key.replace("lin_api_", "lin_oauth_")
    made = linear.call(CREATE, f"Bearer {token}", input={"teamId": ENG, "title": "x", "createAsUser": "Ada"})
    assert made.json()["data"]["issueCreate"]["issue"]["identifier"] == "ENG-1"
    assert linear.records("Issue")[0]["botActor"]["userDisplayName"] == "Ada"


def test_a_key_that_asks_too_often_learns_when_to_come_back(linear: Linear) -> None:
    with linear.failing(requests_per_hour=2):
        assert linear.call(VIEWER).headers["X-RateLimit-Requests-Remaining"] == "1"
        linear.call(VIEWER)
        refused = linear.call(VIEWER)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["extensions"]["code"] == "RATELIMITED"
    assert refused.headers["X-RateLimit-Requests-Remaining"] == "0"
    wait = int(refused.headers["X-RateLimit-Requests-Reset"]) / 1000 - time.time()
    assert 3590 < wait <= 3600


def test_a_query_tells_what_it_costs(linear: Linear) -> None:
    # An object and two properties; then 50 objects of one property in a list.
    assert linear.call(VIEWER).headers["X-Complexity"] == "2"
    assert linear.call("{ issues { nodes { id } } }").headers["X-Complexity"] == "56"
    assert linear.call("{ issues(first: 10) { nodes { id } } }").headers["X-Complexity"] == "12"


def test_a_state_moves_the_issue_and_notes_when(linear: Linear) -> None:
    issue = linear.create()
    before = linear.records("Issue")[0]
    linear.data(UPDATE, id=issue["identifier"], input={"stateId": state_id("Done")})
    [after] = linear.records("Issue")
    assert after["completedAt"] is not None
    assert after["updatedAt"] > before["updatedAt"]
    linear.data(UPDATE, id=issue["id"], input={"stateId": state_id("In Progress")})
    assert linear.records("Issue")[0]["completedAt"] is None
    assert linear.records("Issue")[0]["startedAt"] is not None


def test_a_change_that_changes_nothing_leaves_no_trace(linear: Linear) -> None:
    issue = linear.create("Same")
    before = linear.records("Issue")
    linear.data(UPDATE, id=issue["id"], input={"title": "Same"})
    assert linear.records("Issue") == before


def test_an_attachment_of_the_same_address_is_the_same_one(linear: Linear) -> None:
    issue = linear.create()
    given = {"issueId": issue["id"], "url": "https://app.example.com/tickets/SUP-00001"}
    first = linear.data(ATTACH, input={**given, "title": "SUP-00001"})["attachmentCreate"]["attachment"]
    again = linear.data(
        ATTACH, input={**given, "title": "SUP-00001 (open)", "metadata": {"priority": "high"}}
    )
    assert again["attachmentCreate"]["attachment"] == {
        "id": first["id"],
        "title": "SUP-00001 (open)",
        "metadata": {"priority": "high"},
    }


def test_a_team_is_found_by_its_key_with_its_states(linear: Linear) -> None:
    query = """{ teams(filter: {key: {eq: "ENG"}}) { nodes { id key states { nodes { name type position } } } } }"""
    [team] = linear.data(query)["teams"]["nodes"]
    assert team["id"] == ENG
    states = sorted(team["states"]["nodes"], key=lambda state: state["position"])
    kinds = ["backlog", "unstarted", "started", "started", "completed", "canceled", "duplicate"]
    assert [state["type"] for state in states] == kinds


def test_what_changed_is_listed_page_by_page(linear: Linear) -> None:
    issues = [linear.create(str(number)) for number in range(5)]
    since = linear.records("Issue")[1]["updatedAt"]
    query = """query($since: DateTimeOrDuration!, $after: String) {
        issues(filter: {updatedAt: {gte: $since}}, orderBy: updatedAt, first: 3, after: $after) {
            nodes { id } pageInfo { hasNextPage endCursor } } }"""
    first = linear.data(query, since=since)["issues"]
    second = linear.data(query, since=since, after=first["pageInfo"]["endCursor"])["issues"]
    listed = [node["id"] for page in (first, second) for node in page["nodes"]]
    assert listed == [issue["id"] for issue in reversed(issues[1:])]
    assert [page["pageInfo"]["hasNextPage"] for page in (first, second)] == [True, False]


def test_comments_of_certain_issues_are_listed(linear: Linear) -> None:
    one, other = linear.create(), linear.create()
    for issue, body in ((one, "a"), (other, "b")):
        linear.data(COMMENT, input={"issueId": issue["id"], "body": body})
    query = "query($ids: [ID!]) { comments(filter: {issue: {id: {in: $ids}}}) { nodes { body issue { identifier } } } }"
    nodes = linear.data(query, ids=[other["id"]])["comments"]["nodes"]
    assert nodes == [{"body": "b", "issue": {"identifier": other["identifier"]}}]


def test_a_deleted_issue_is_out_of_the_list_and_can_still_be_read(linear: Linear) -> None:
    issue = linear.create()
    linear.data(UPDATE, id=issue["id"], input={"trashed": True})
    assert linear.data("{ issues { nodes { id } } }")["issues"]["nodes"] == []
    everything = linear.data("{ issues(includeArchived: true) { nodes { id trashed } } }")["issues"]["nodes"]
    assert everything == [{"id": issue["id"], "trashed": True}]
    assert linear.data(ISSUE, id=issue["id"])["issue"]["id"] == issue["id"]


def test_an_unknown_issue_is_not_found(linear: Linear) -> None:
    for key in (str(uuid4()), "ENG-1"):
        [error] = linear.call(ISSUE, id=key).json()["errors"]
        assert error["message"] == "Entity not found: Issue"
        assert error["extensions"]["code"] == "INPUT_ERROR"


def test_an_issue_is_found_by_its_number_and_by_a_link(linear: Linear) -> None:
    linear.create()
    issue = linear.create("Second")
    linear.data(
        ATTACH, input={"issueId": issue["id"], "url": "https://app.example.com/2", "title": "SUP-00002"}
    )
    by_number = """{ issues(filter: {team: {key: {eq: "ENG"}}, number: {eq: 2}}) { nodes {
        identifier attachments { nodes { title } } } } }"""
    [found] = linear.data(by_number)["issues"]["nodes"]
    assert found == {"identifier": "ENG-2", "attachments": {"nodes": [{"title": "SUP-00002"}]}}
    by_link = """{ attachmentsForURL(url: "https://app.example.com/2") { nodes { issue { identifier } } } }"""
    assert linear.data(by_link)["attachmentsForURL"]["nodes"] == [{"issue": {"identifier": "ENG-2"}}]


def test_a_label_is_created_once_and_given_to_an_issue(linear: Linear) -> None:
    label = (
        "mutation($input: IssueLabelCreateInput!) { issueLabelCreate(input: $input) { issueLabel { id } } }"
    )
    created = linear.data(label, input={"name": "Bug", "teamId": ENG})["issueLabelCreate"]["issueLabel"]
    [error] = linear.call(label, input={"name": "Bug", "teamId": ENG}).json()["errors"]
    assert error["extensions"]["userPresentableMessage"] == "name is taken by another label."
    issue = linear.create(labelIds=[created["id"]])
    query = "query($id: String!) { issue(id: $id) { labels { nodes { name } } creator { name } } }"
    read = linear.data(query, id=issue["id"])["issue"]
    assert read == {"labels": {"nodes": [{"name": "Bug"}]}, "creator": {"name": "Supadesk"}}


def test_a_call_that_is_committed_can_lose_its_answer(linear: Linear) -> None:
    with linear.failing({"kind": "drop", "committed": True, "times": 1, "operation": "issueCreate"}):
        with pytest.raises(httpx.RemoteProtocolError):
            linear.create("lost")
        assert [issue["title"] for issue in linear.records("Issue")] == ["lost"]
        linear.create("and another")
        assert linear.counters()["calls"] == {"issueCreate": 2}
        assert linear.counters()["injected"] == {"drop": 1}


def test_a_call_can_fail_before_anything_is_done(linear: Linear) -> None:
    with linear.failing({"kind": "drop"}), pytest.raises(httpx.RemoteProtocolError):
        linear.create()
    assert linear.records("Issue") == []


@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        ({"kind": "ratelimited"}, 400, "RATELIMITED"),
        ({"kind": "auth"}, 401, "AUTHENTICATION_ERROR"),
        ({"kind": "forbidden"}, 403, "FORBIDDEN"),
        ({"kind": "feature_not_accessible"}, 403, "FEATURE_NOT_ACCESSIBLE"),
        ({"kind": "usage_limit"}, 400, "USAGE_LIMIT_EXCEEDED"),
        ({"kind": "lock_timeout"}, 409, "LOCK_TIMEOUT"),
        ({"kind": "internal"}, 500, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_linear_can_be_made_to_refuse(linear: Linear, rule: dict[str, Any], status: int, code: str) -> None:
    with linear.failing(rule):
        answer = linear.call(VIEWER)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["extensions"]["code"] == code


def test_linear_can_be_made_to_talk_nonsense(linear: Linear) -> None:
    with linear.failing({"kind": "server_error", "status": 502, "html": True}):
        answer = linear.call(VIEWER)
        assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    with linear.failing({"kind": "malformed"}), pytest.raises(ValueError, match="Unterminated"):
        linear.call(VIEWER).json()


def test_an_endpoint_can_be_limited_while_the_key_is_not(linear: Linear) -> None:
    with linear.failing({"kind": "ratelimited", "scope": "endpoint", "seconds": 30}):
        headers = linear.call(VIEWER).headers
    assert headers["X-RateLimit-Requests-Remaining"] != "0"
    assert headers["X-RateLimit-Endpoint-Requests-Remaining"] == "0"
    assert 28 < int(headers["X-RateLimit-Endpoint-Requests-Reset"]) / 1000 - time.time() <= 30


def test_a_refusal_can_come_with_400(linear: Linear) -> None:
    issue = linear.create()
    with linear.failing({"kind": "error_status", "status": 400}):
        answer = linear.call(CREATE, input={"id": issue["id"], "teamId": ENG, "title": "again"})
        assert linear.call(VIEWER).status_code == 200
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"] == "conflict on insert of Issue"


def test_the_same_seed_fails_the_same_calls(linear: Linear) -> None:
    def outcomes() -> list[int]:
        with linear.failing({"kind": "server_error", "probability": 0.5}, seed=7):
            return [linear.call(VIEWER).status_code for _ in range(20)]

    assert outcomes() == outcomes()
    assert set(outcomes()) == {200, 503}


def test_a_plan_that_makes_no_sense_is_refused(linear: Linear) -> None:
    answer = httpx.put(f"{linear.url}/control/faults", json={"rules": [{"kind": "sulk"}]}, trust_env=False)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["rules", 0, "kind"]


def test_a_webhook_tells_what_changed_and_proves_who_sent_it(linear: Linear) -> None:
    with Listener() as listener:
        secret = linear.hook(listener.url)
        issue = linear.create("The export does nothing", priority=2)
        linear.data(UPDATE, id=issue["id"], input={"stateId": state_id("Done")})
        created, updated = sorted(listener.wait(2), key=lambda body: body["action"])
    headers, raw = listener.heard[0]
    assert headers["Linear-Signature"] == hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    assert (headers["Linear-Event"], headers["User-Agent"]) == ("Issue", "Linear-Webhook")
    assert headers["Linear-Delivery"] != listener.heard[1][0]["Linear-Delivery"]
    assert (created["action"], created["type"]) == ("create", "Issue")
    assert created["data"]["identifier"] == issue["identifier"]
    assert abs(created["webhookTimestamp"] / 1000 - time.time()) < 60
    assert updated["data"]["state"]["type"] == "completed"
    assert updated["data"]["completedAt"]
    before = updated["updatedFrom"]
    assert before["stateId"] == state_id("Backlog")
    assert before["completedAt"] is None
    assert before["updatedAt"] < updated["data"]["updatedAt"]


def test_what_an_engineer_does_on_the_page_reaches_webhooks_too(linear: Linear) -> None:
    issue = linear.create()
    with Listener() as listener:
        linear.hook(listener.url)
        linear.act(issue["identifier"], "comments", body="Which browser?")
        [comment] = listener.wait(1)
        linear.act(issue["identifier"], "state", stateId=state_id("In Progress"))
        linear.act(issue["identifier"], "delete")
        _, moved, removed = sorted(listener.wait(3), key=lambda body: body["webhookTimestamp"])
    assert comment["type"] == "Comment"
    assert comment["data"]["body"] == "Which browser?"
    assert comment["data"]["issue"]["identifier"] == issue["identifier"]
    assert comment["data"]["user"]["name"] == comment["actor"]["name"] == "Engineer"
    assert moved["data"]["state"]["name"] == "In Progress"
    assert (removed["action"], removed["data"]["trashed"]) == ("remove", True)


def test_trashing_an_issue_is_a_removal_to_webhooks(linear: Linear) -> None:
    issue = linear.create()
    with Listener() as listener:
        linear.hook(listener.url)
        linear.data(UPDATE, id=issue["id"], input={"trashed": True})
        [removed] = listener.wait(1)
    assert removed["action"] == "remove"
    assert removed["data"]["archivedAt"]


def test_a_webhook_that_does_not_arrive_is_sent_again_as_it_was(linear: Linear) -> None:
    with Listener(500, 404) as listener, linear.failing(minute=0.01):
        linear.hook(listener.url, resourceTypes=["Issue"])
        linear.create()
        listener.wait(3)
        counters = linear.counters()["webhooks"]
    assert len({(headers["Linear-Delivery"], body) for headers, body in listener.heard}) == 1
    assert counters["failed"] >= 2


def test_webhooks_can_be_lost_doubled_and_overtaken(linear: Linear) -> None:
    with Listener() as listener:
        linear.hook(listener.url, resourceTypes=["Comment"])
        issue = linear.create()
        rules = [
            {"kind": f"webhook_{how}", "operation": "Comment"} for how in ("lost", "duplicated", "delayed")
        ]
        for rule, body in zip(rules, "abc", strict=True):
            with linear.failing({**rule, "times": 1, "seconds": 0.5}):
                linear.data(COMMENT, input={"issueId": issue["id"], "body": body})
        linear.data(COMMENT, input={"issueId": issue["id"], "body": "d"})
        heard = [body["data"]["body"] for body in listener.wait(4)]
    assert heard == ["b", "b", "d", "c"]
    assert listener.heard[0][0]["Linear-Delivery"] == listener.heard[1][0]["Linear-Delivery"]


def test_everything_outlives_a_restart_undelivered_webhooks_too(tmp_path: Path) -> None:
    keys, [port] = load_keys(tmp_path / "keys.json"), free_ports(1)
    linear = Linear(f"http://127.0.0.1:{port}", keys.linear_key)
    with Listener(500) as listener:
        listener_url = listener.url.rstrip("/")
        with run_linear(tmp_path, keys, port, listener_url, requests_per_hour=9, minute=60) as part:
            part.wait()
            issue = linear.create()
            listener.wait(1)
        with run_linear(tmp_path, keys, port, listener_url, requests_per_hour=9, minute=60) as part:
            part.wait()
            assert [row["id"] for row in linear.records("Issue")] == [issue["id"]]
            assert linear.create()["identifier"] == "ENG-2"
            listener.wait(2)


def test_a_person_sees_and_handles_issues_on_the_page(linear: Linear) -> None:
    issue = linear.create("Export <b>broken</b>", description="```\n<script>alert(1)</script>\n```")
    for url, title in (("https://app.example.com/SUP-1", "SUP-00001"), ("javascript:alert(1)", "odd")):
        linear.data(ATTACH, input={"issueId": issue["id"], "url": url, "title": title})
    linear.act(issue["identifier"], "comments", body="Which <i>browser</i>?")
    listed = httpx.get(linear.url, trust_env=False).text
    assert "Export &lt;b&gt;broken&lt;/b&gt;" in listed
    page = httpx.get(f"{linear.url}/issue/{issue['identifier']}", trust_env=False).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Which &lt;i&gt;browser&lt;/i&gt;?" in page
    assert '<a href="https://app.example.com/SUP-1"' in page
    assert 'href="javascript:' not in page
    linear.act(issue["identifier"], "delete")
    linear.act(issue["identifier"], "restore")
    assert linear.records("Issue")[0]["archivedAt"] is None


def test_somebody_elses_page_cannot_use_the_forms(linear: Linear) -> None:
    identifier = linear.create()["identifier"]
    foreign = {"Sec-Fetch-Site": "cross-site"}
    answer = httpx.post(f"{linear.url}/issue/{identifier}/delete", headers=foreign, trust_env=False)
    assert answer.status_code == 403
    assert linear.records("Issue")[0]["archivedAt"] is None
    assert httpx.get(linear.url, headers={"Host": "evil.example.com"}, trust_env=False).status_code == 400


@pytest.mark.skipif(
    "LINEAR_SCHEMA" not in os.environ, reason="LINEAR_SCHEMA names no copy of Linear's schema"
)
def test_the_subset_fits_the_real_schema() -> None:
    real = build_schema(Path(os.environ["LINEAR_SCHEMA"]).read_text(), assume_valid=True)
    assert departures(load_schema(), real) == []


def test_a_subset_that_departs_from_the_schema_is_noticed() -> None:
    real = build_schema("""
        type Query { a(b: Int!, c: Int): [C!]! }
        type C { d: String, e: E, f(g: In!): Int }
        enum E { X Y }
        input In { h: Int!, i: [Int!] }
    """)
    fits = "type Query { a(b: Int!): [C!]! } type C { d: String, e: E, f(g: In!): Int } enum E { X } input In { h: Int! }"
    assert departures(build_schema(fits), real) == []
    for one, other, departure in [
        ("[C!]!", "[C!]", "Query.a is [C!]! and not [C!]"),
        ("b: Int!", "b: Int", "Query.a(b) is Int! and not Int"),
        ("b: Int!", "c: Int", "Query.a(b) is missing"),
        ("d: String", "dd: String", "C.dd is not there"),
        ("enum E { X }", "enum E { Z }", "E.Z is not there"),
        ("h: Int!", "i: [Int!]", "In.h is missing"),
        ("input In", "type Out { a: Int } input In", "Out is not there"),
    ]:
        assert departures(build_schema(fits.replace(one, other)), real) == [departure]


def test_a_key_in_the_environment_means_the_real_linear(stack: RunningStack) -> None:
    assert stack.stack.environment["LINEAR_API_URL"] == f"{stack.stack.linear_url}/graphql"
    assert real_settings({"LINEAR_API_URL": "https://proxy.example.com"}) == {}
    assert real_settings({"LINEAR_API_KEY": "lin_api_mine", "HOME": "/root"}) == {
        "LINEAR_API_URL": "https://api.linear.app/graphql",
        "LINEAR_API_KEY": "lin_api_mine",
        "LINEAR_WEBHOOK_SECRET": "",
    }


def departures(ours: GraphQLSchema, real: GraphQLSchema) -> list[str]:
    """Lists where our schema has more than the real one, or lacks what it requires."""
    found = []
    for name, mine in ours.type_map.items():
        theirs = real.type_map.get(name)
        if type(theirs) is not type(mine):
            found.append(f"{name} is not there")
        elif isinstance(mine, GraphQLEnumType) and isinstance(theirs, GraphQLEnumType):
            found += [f"{name}.{value} is not there" for value in mine.values if value not in theirs.values]
        elif isinstance(mine, GraphQLInputObjectType) and isinstance(theirs, GraphQLInputObjectType):
            found += _differing(f"{name}.{{}}", mine.fields, theirs.fields)
        elif isinstance(mine, GraphQLObjectType) and isinstance(theirs, GraphQLObjectType):
            found += _differing(f"{name}.{{}}", mine.fields, {**theirs.fields}, complete=True)
            for field in mine.fields.keys() & theirs.fields.keys():
                found += _differing(
                    f"{name}.{field}({{}})", mine.fields[field].args, theirs.fields[field].args
                )
    return found


def _differing(
    where: str, mine: dict[str, Any], theirs: dict[str, Any], *, complete: bool = False
) -> list[str]:
    """Lists our fields or arguments that differ, and the required ones that we lack unless `complete`."""
    found = []
    for name, each in mine.items():
        if name not in theirs:
            found.append(f"{where.format(name)} is not there")
        elif str(each.type) != str(theirs[name].type):
            found.append(f"{where.format(name)} is {theirs[name].type} and not {each.type}")
    needed = [name for name, each in theirs.items() if str(each.type).endswith("!") and name not in mine]
    return found if complete else [*found, *(f"{where.format(name)} is missing" for name in needed)]
