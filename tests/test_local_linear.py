"""What whoever talks to Linear can rely on locally."""

import time
from typing import Any
from uuid import uuid1, uuid4

import httpx
import pytest

from tests.linear import CREATE, ENG, Linear, state_id

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
    ("given", "told"),
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
def test_what_an_issue_cannot_have_is_named(linear: Linear, given: dict[str, Any], told: str) -> None:
    answer = linear.call(CREATE, input={"teamId": ENG, "title": "x", **given}).json()
    assert [error["extensions"]["userPresentableMessage"] for error in answer["errors"]] == [told]
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
    given = {"issueId": issue["id"], "url": "https://desk.example.com/tickets/SUP-00001"}
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
    linear.data("mutation($id: String!) { issueDelete(id: $id) { success } }", id=issue["id"])
    assert linear.data("{ issues { nodes { id } } }")["issues"]["nodes"] == []
    everything = linear.data("{ issues(includeArchived: true) { nodes { id trashed } } }")["issues"]["nodes"]
    assert everything == [{"id": issue["id"], "trashed": True}]
    assert linear.data(ISSUE, id=issue["id"])["issue"]["id"] == issue["id"]


def test_an_issue_that_is_gone_for_good_is_not_found(linear: Linear) -> None:
    issue = linear.create()
    linear.data(
        "mutation($id: String!) { issueDelete(id: $id, permanentlyDelete: true) { success } }", id=issue["id"]
    )
    [error] = linear.call(ISSUE, id=issue["id"]).json()["errors"]
    assert error["message"] == "Entity not found: Issue"
    assert error["extensions"]["code"] == "INPUT_ERROR"


def test_a_call_that_is_committed_can_lose_its_answer(linear: Linear) -> None:
    with linear.failing({"kind": "drop", "committed": True, "times": 1, "operation": "issueCreate"}):
        with pytest.raises(httpx.RemoteProtocolError):
            linear.create("lost")
        assert [issue["title"] for issue in linear.records("Issue")] == ["lost"]
        linear.create("and another")
        assert linear.told()["calls"] == {"issueCreate": 2}
        assert linear.told()["injected"] == {"drop": 1}


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
    with linear.failing({"kind": "malformed"}), pytest.raises(ValueError, match="Unterminated|Expecting"):
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
