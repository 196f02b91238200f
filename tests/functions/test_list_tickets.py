"""Tests list-tickets: what people can and cannot read."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from deploy.migrate import Connection
from local.people import PROFILE, Client, NewPerson, Person, RunningStack
from tests.assertions import assert_problem
from tests.payloads import TICKETS, file

SORTS = ("created_at", "-created_at", "updated_at", "-updated_at")


def numbers(answer: dict[str, Any]) -> list[str]:
    return [ticket["ticket_number"] for ticket in answer["tickets"]]


def test_a_customer_lists_their_tickets_newest_first(api: Client, customer: Person, other: Person) -> None:
    filed = [file(api(customer), kind) for kind in TICKETS]
    file(api(other))

    response = api(customer).get("/list-tickets")

    assert response.status_code == 200
    answer = response.json()
    assert numbers(answer) == [ticket["ticket_number"] for ticket in reversed(filed)]
    assert (answer["success"], answer["total"], answer["next_cursor"]) == (True, 5, None)
    assert answer["total_is_capped"] is False
    assert set(answer["tickets"][0]) == {
        "ticket_id", "ticket_number", "issue_type", "category", "subject", "status", "priority",
        "assigned_to", "escalated", "created_at", "updated_at", "last_response_at",
    }  # fmt: skip


class TestList:
    def test_nobody_lists_without_signing_in(self, api: Client) -> None:
        response = api(None).get("/list-tickets")
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"

    def test_a_customer_without_tickets_sees_an_empty_list(self, api: Client, customer: Person) -> None:
        answer = api(customer).get("/list-tickets").json()
        assert (answer["tickets"], answer["total"]) == ([], 0)

    def test_an_agent_sees_the_queue_and_a_customer_does_not(
        self, api: Client, agent: Person, customer: Person
    ) -> None:
        number = file(api(customer))["ticket_number"]
        assert number in numbers(api(agent).get("/list-tickets").json())
        assert number in numbers(api(agent).get("/list-tickets?scope=queue").json())
        assert number not in numbers(api(agent).get("/list-tickets?scope=mine").json())
        assert_problem(api(customer).get("/list-tickets?scope=queue"), 403, "forbidden")

    def test_a_former_agent_is_a_customer(self, api: Client, person: NewPerson, customer: Person) -> None:
        former = person("agent", display_name="Former", active=False)
        number = file(api(customer))["ticket_number"]
        assert numbers(api(former).get("/list-tickets").json()) == []
        assert_problem(api(former).get(f"/list-tickets/{number}"), 404, "not_found")

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("status=open", 3),
            ("status=waiting_on_customer", 1),
            ("status=waiting_on_user", 1),
            ("status=open&status=pending_customer", 4),
            ("status=open,waiting_customer", 4),
            ("status=", 4),
            ("priority=high", 1),
            ("priority=critical", 0),
            ("priority=medium,high", 4),
            ("category=billing", 1),
            ("category=billing&category=bug", 2),
            ("assigned_to=none", 4),
            ("assigned_to=me", 0),
            ("escalated=false", 4),
            ("escalated=true", 0),
            ("created_after=2020-01-01T00:00:00Z", 4),
            ("created_after=2020-01-01T00:00:00%2B02:00&created_before=2999-01-01t00:00:00.5z", 4),
            ("created_before=2020-01-01T00:00:00+02:00", 0),
            ("context.order_id=A-17", 1),
            ("context.order_id=A-18", 0),
            ("context.order_id=A-17&context.vip=true", 1),
            ("context.order_id=A-17&context.vip=false", 0),
            ("context.merchant_id=5", 1),
            ("context.merchant_id=5&context.order_id=A-17", 1),
            ("context.merchant_id=6", 0),
            ("q=charged", 1),
            ("q=jumps+menu", 1),
            ("q=nonsense", 0),
            ("scope=mine&limit=100", 4),
        ],
    )
    def test_a_list_is_filtered(
        self, query: str, expected: int, api: Client, customer: Person, db: Connection
    ) -> None:
        for kind in ("bug", "support", "other", "chatbot"):
            number = file(api(customer), kind)["ticket_number"]
        db.execute(
            "update desk.support_tickets set status = 'waiting_on_customer' where ticket_number = %s",
            [number],
        )

        response = api(customer).get(f"/list-tickets?{query}")

        assert response.status_code == 200, response.text
        assert (len(response.json()["tickets"]), response.json()["total"]) == (expected, expected)

    def test_a_list_is_sorted(self, api: Client, customer: Person) -> None:
        first, second = (file(api(customer))["ticket_number"] for _ in range(2))
        assert numbers(api(customer).get("/list-tickets?sort=created_at").json()) == [first, second]
        assert numbers(api(customer).get("/list-tickets?sort=-created_at").json()) == [second, first]

    def test_pages_follow_each_other(self, api: Client, customer: Person) -> None:
        filed = [file(api(customer))["ticket_number"] for _ in range(5)]
        client, seen, cursor = api(customer), [], ""
        for _ in range(3):
            page = client.get(f"/list-tickets?limit=2&cursor={cursor}").json()
            assert page["total"] == 5
            seen.append(numbers(page))
            cursor = page["next_cursor"]
        assert seen == [filed[:2:-1], filed[2:0:-1], filed[:1]]
        assert cursor is None
        assert numbers(client.get("/list-tickets?limit=2&offset=2").json()) == seen[1]
        assert numbers(client.get("/list-tickets?limit=2&page=2").json()) == seen[1]
        assert numbers(client.get("/list-tickets?limit=2&page=1").json()) == seen[0]
        assert numbers(client.get("/list-tickets?offset=9").json()) == []

    @pytest.mark.parametrize("q", ["", "&q=page"])
    def test_a_cursor_belongs_to_its_sort(self, api: Client, customer: Person, q: str) -> None:
        for _ in range(3):
            file(api(customer), title="Page after page")
        for sort in SORTS:
            page = api(customer).get(f"/list-tickets?limit=2&sort={sort}{q}").json()
            for other in SORTS:
                address = f"/list-tickets?limit=2&sort={other}{q}&cursor={page['next_cursor']}"
                answer = api(customer).get(address)
                if other == sort:
                    assert len(numbers(answer.json())) == 1
                else:
                    assert_problem(answer, 422, "invalid", "cursor")

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ("status=nope", "status"),
            ("status=open,nope", "status"),
            ("priority=nope", "priority"),
            ("category=no_such", "category"),
            ("assigned_to=somebody", "assigned_to"),
            ("escalated=perhaps", "escalated"),
            ("created_after=yesterday", "created_after"),
            ("created_after=2026-01-01", "created_after"),
            ("created_after=2026-01-01T00:00:00", "created_after"),
            ("created_before=2026-02-30T00:00:00Z", "created_before"),
            ("created_before=1767225600", "created_before"),
            ("context.a%20b=1", "context.a b"),
            ("context.a=1&context.a=2", "context.a"),
            ("q=" + "x" * 201, "q"),
            ("q=a%00b", "q"),
            ("sort=subject", "sort"),
            ("scope=all", "scope"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=ten", "limit"),
            ("limit=1&limit=2", "limit"),
            ("limit=" + "9" * 5000, "limit"),
            ("offset=-1", "offset"),
            ("offset=10001", "offset"),
            ("page=0", "page"),
            ("page=600", "page"),
            ("page=2&offset=2", "page"),
            ("cursor=x", "cursor"),
            ("cursor=2026-01-01T00:00:00.000000Z_x", "cursor"),
            ("cursor=:2026-01-01T00:00:00.000000Z_" + "0" * 36, "cursor"),
            ("cursor=x&offset=1", "offset"),
            ("priorty=high", "priorty"),
            ("context=order_id", "context"),
        ],
    )
    def test_a_filter_that_makes_no_sense_is_named(
        self, query: str, path: str, api: Client, customer: Person
    ) -> None:
        assert_problem(api(customer).get(f"/list-tickets?{query}"), 422, "invalid", path)


# Three in five say "lantern", but none of the last fifth; two of each three hundred say "zeppelin". The days between them vary.
MANY = """
insert into desk.support_tickets (customer_id, branch_id, issue_type, category, subject, description, status, created_at)
select %(customer)s, %(branch)s, 'other', 'other', 'Ticket ' || n,
  'words' || case when n %% 5 < 3 and n < 4000 then ' lantern' else '' end || case when n %% 300 < 2 then ' zeppelin' else '' end,
  case when n %% 4 = 0 then 'open' else 'in_progress' end,
  '2025-01-01T00:00:00Z'::timestamptz + n * interval '1 minute' + (n / 500) ^ 2 * interval '1 day'
from generate_series(1, 5000) as n
"""
MATCHES = """
select t.ticket_number from desk.support_tickets t
where t.customer_id = %s and t.description like %s and t.status = any (%s) order by t.created_at, t.id
"""


@pytest.fixture(scope="module")
def filer(stack: RunningStack) -> Iterator[tuple[UUID, str]]:
    """Files 5,000 tickets, which no other test sees; yields the customer's id and token."""
    user = uuid4()
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into auth.users (id, email) values (%s, %s)", [user, f"{user}@example.com"]
        )
        connection.execute(MANY, {"customer": user, "branch": "harbour"})
        connection.execute("analyze desk_private.ticket_search, desk.support_tickets")
        yield user, stack.token(user, None)
        connection.execute("delete from desk.support_tickets where customer_id = %s", [user])


class TestSearch:
    @pytest.mark.parametrize("sort", ["-created_at", "created_at", "-updated_at"])
    @pytest.mark.parametrize(
        ("word", "status"),
        [("lantern", ["open", "in_progress"]), ("lantern", ["open"]), ("zeppelin", ["open", "in_progress"])],
    )
    def test_pages_of_a_search_miss_nothing_and_repeat_nothing(
        self,
        word: str,
        status: list[str],
        sort: str,
        stack: RunningStack,
        filer: tuple[UUID, str],
        db: Connection,
    ) -> None:
        customer, token = filer
        expected = [str(number) for (number,) in db.execute(MATCHES, [customer, f"%{word}%", status])]
        headers = {"Authorization": f"Bearer {token}", **PROFILE}
        seen: list[str] = []
        with httpx.Client(base_url=stack.rest_url, headers=headers, timeout=30, trust_env=False) as client:
            asked: dict[str, Any] = {"q": word, "status": status, "sort": sort, "page_limit": 100}
            while True:
                answer = client.post("/rpc/list_tickets", json=asked)
                assert answer.status_code == 200, answer.text
                seen += numbers(answer.json())
                assert answer.json()["total"] == min(len(expected), 200)
                assert answer.json()["total_is_capped"] is (len(expected) > 200)
                asked["cursor"] = answer.json()["next_cursor"]
                if asked["cursor"] is None:
                    break
        if sort == "-updated_at":
            assert sorted(seen) == sorted(expected)
        else:
            assert seen == (expected if sort == "created_at" else expected[::-1])

    def test_an_agent_of_a_branch_finds_what_the_branch_has(
        self, api: Client, person: NewPerson, filer: tuple[UUID, str]
    ) -> None:
        ours = person("agent", display_name="Ours", branch_id="harbour")
        theirs = person("agent", display_name="Theirs", branch_id="airport")
        for word in ("lantern", "zeppelin"):
            assert len(numbers(api(ours).get(f"/list-tickets?q={word}").json())) == 20
            assert api(theirs).get(f"/list-tickets?q={word}").json()["total"] == 0

    def test_a_time_can_be_searched(self, api: Client, agent: Person, filer: tuple[UUID, str]) -> None:
        span = "created_after=2025-01-01T00:00:00Z&created_before=2025-01-01T00:11:00Z"
        answer = api(agent).get(f"/list-tickets?q=lantern&{span}").json()
        assert answer["total"] == 6

    def test_words_of_no_meaning_are_words(self, api: Client, customer: Person) -> None:
        file(api(customer))
        assert api(customer).get("/list-tickets?q=the").json()["total"] == 1

    def test_a_number_is_found(self, api: Client, customer: Person, other: Person) -> None:
        number = file(api(customer))["ticket_number"]
        assert numbers(api(customer).get(f"/list-tickets?q={number.lower()}").json()) == [number]
        assert numbers(api(other).get(f"/list-tickets?q={number}").json()) == []


class TestDetail:
    def test_a_customer_reads_a_ticket_by_number_and_by_id(self, api: Client, customer: Person) -> None:
        filed = file(api(customer), "support")
        client = api(customer)
        client.post(f"/add-message/{filed['ticket_number']}", json={"body": "One more thing"})

        ticket = client.get(f"/list-tickets/{filed['ticket_number']}").json()

        by_id = client.get(f"/list-tickets/{filed['ticket_id'].upper()}/").json()
        lower = client.get(f"/list-tickets/{filed['ticket_number'].lower()}").json()
        assert by_id["ticket_number"] == lower["ticket_number"] == ticket["ticket_number"]
        assert ticket["success"] is True
        assert ticket["description"] == "I was charged twice on January 5th."
        assert ticket["context"]["order_id"] == "A-17"
        assert [message["body"] for message in ticket["messages"]] == ["One more thing"]
        assert {file["url"] for file in ticket["attachments"]} >= {"https://files.example.com/bill.pdf"}
        assert [event["type"] for event in ticket["timeline"]] == ["created", "replied"]
        assert ticket["metrics"]["messages"] == 1
        assert ticket.keys() >= {
            "resolution", "resolved_at", "closed_at", "version", "sla", "linear", "updated_at",
        }  # fmt: skip

    def test_somebody_elses_ticket_does_not_exist(self, api: Client, customer: Person, other: Person) -> None:
        filed = file(api(customer))
        for name in (filed["ticket_number"], filed["ticket_id"]):
            theirs = api(other).get(f"/list-tickets/{name}")
            assert_problem(theirs, 404, "not_found")
        unknown = api(other).get("/list-tickets/SUP-99999999")
        assert unknown.json()["error"] == theirs.json()["error"]

    @pytest.mark.parametrize("name", ["SUP-0", "SUP-00001x", "1", "SUP-%00001", "..%2Fx", str(uuid4())[:-1]])
    def test_what_is_no_ticket_is_not_found(self, name: str, api: Client, customer: Person) -> None:
        assert_problem(api(customer).get(f"/list-tickets/{name}"), 404, "not_found")

    def test_an_agent_reads_any_ticket(self, api: Client, agent: Person, customer: Person) -> None:
        filed = file(api(customer))
        ticket = api(agent).get(f"/list-tickets/{filed['ticket_number']}").json()
        assert ticket["customer_id"] == str(customer.id)

    def test_an_internal_note_is_nowhere_for_the_customer(
        self, api: Client, rest: Client, agent: Person, customer: Person
    ) -> None:
        number = file(api(customer))["ticket_number"]
        before = api(customer).get(f"/list-tickets/{number}").json()
        note = {"body": "sesame", "is_internal": True, "attachments": ["https://files.example.com/sesame"]}
        assert api(agent).post(f"/add-message/{number}", json=note).status_code == 200

        assert "sesame" in api(agent).get(f"/list-tickets/{number}").text
        assert numbers(api(agent).get("/list-tickets?q=sesame").json()) == [number]
        after = api(customer).get(f"/list-tickets/{number}")
        assert "sesame" not in after.text
        changed = after.json() | {"metrics": before["metrics"]}
        assert changed == before
        assert api(customer).get("/list-tickets?q=sesame").json()["total"] == 0
        for table in ("ticket_messages", "ticket_attachments", "ticket_events", "support_tickets"):
            rows = rest(customer).get(f"/{table}")
            assert rows.status_code == 200
            assert "sesame" not in rows.text

    def test_without_signing_in_a_ticket_needs_its_token(self, api: Client) -> None:
        filed = file(api(None), "contact")
        path = f"/list-tickets/{filed['ticket_number']}"
        assert_problem(api(None).get(path), 401, "unauthenticated")
        for wrong in ("x", "A" * 43):
            assert_problem(api(None).get(path, headers={"X-Ticket-Token": wrong}), 404, "not_found")
        assert_problem(api(None).get(f"{path}?token={filed['access_token']}"), 401, "unauthenticated")

    def test_a_token_works_beside_a_session(self, api: Client, customer: Person) -> None:
        filed = file(api(None), "contact")
        headers = {"X-Ticket-Token": filed["access_token"]}
        path = f"/list-tickets/{filed['ticket_number']}"
        assert api(customer).get(path, headers=headers).status_code == 200
        assert_problem(api(customer).get(path), 404, "not_found")


class TestCategories:
    def test_anybody_reads_them_and_may_keep_them(self, api: Client) -> None:
        response = api(None).get("/list-tickets/categories", headers={"Origin": "http://localhost:3002"})
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=300"
        assert response.headers["vary"] == "Origin"
        assert {"billing", "bug", "other"} <= {c["category"] for c in response.json()["categories"]}
        assert set(response.json()["categories"][0]) == {"category", "name", "description"}

    def test_a_bad_token_is_told_here_too(self, api: Client) -> None:
        response = api(None).get("/list-tickets/categories", headers={"Authorization": "Bearer x"})
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["cache-control"] == "no-store"

    def test_they_cannot_be_written(self, api: Client, admin: Person) -> None:
        response = api(admin).post("/list-tickets/categories", json={})
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "GET, HEAD"


@pytest.fixture(autouse=True)
def _new_network(db: Connection) -> None:
    """All tests come from one address, and what one of them sent is no other's quota."""
    db.execute("delete from desk_private.quotas where kind like 'anonymous%'")
