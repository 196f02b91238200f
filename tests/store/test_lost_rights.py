"""Agents who lose their rights: they read and are sent nothing more, and others get what was on its way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deploy.migrate import Connection
from local.people import Client, NewPerson, Person, RunningStack
from tests.payloads import file

KINDS = ("created", "customer_replied", "due_soon", "breached")
Loss = Callable[["Team"], None]


@dataclass
class Team:
    """Two agents of billing in the north, and a ticket that is assigned to the first of them."""

    stack: RunningStack
    db: Connection
    agent: Person
    colleague: Person
    ticket: str

    def set(self, column: str, value: Any) -> None:
        update = f"update desk.support_agents set {column} = %s where user_id = %s"
        self.db.execute(update.encode(), (value, self.agent.id))

    def administer(self, method: str, body: dict[str, Any]) -> None:
        """Changes the agent's account as the dashboard does."""
        headers = {"apikey": self.stack.secret_key, "Authorization": f"Bearer {self.stack.secret_key}"}
        url = f"{self.stack.auth_url}/admin/users/{self.agent.id}"
        httpx.request(method, url, json=body, headers=headers, trust_env=False).raise_for_status()

    def cause(self, kind: str) -> None:
        self.db.execute(
            "insert into desk_private.staff_news (kind, ticket_id) values (%s, %s)", (kind, self.ticket)
        )

    def fan_out(self) -> None:
        self.db.execute("select desk_private.fan_out_news()")

    def digest(self, person: Person) -> list[str]:
        """Returns the kinds of news that a mail to this person would have now."""
        row: Any = self.db.execute("select desk_private.digest_mail(%s)", [person.id]).fetchone()
        return sorted({item["kind"] for item in row[0]["items"]})


def remove_row(team: Team) -> None:
    team.db.execute("delete from desk.support_agents where user_id = %s", [team.agent.id])


LOSSES: dict[str, Loss] = {
    "inactive": lambda team: team.set("active", False),
    "no agent any more": remove_row,
    "moved to another branch": lambda team: team.set("branch_id", "south"),
    "without the skill": lambda team: team.set("skills", ["bug"]),
    "account banned": lambda team: team.administer("PUT", {"ban_duration": "24h"}),
    "account softly deleted": lambda team: team.administer("DELETE", {"should_soft_delete": True}),
    "account deleted": lambda team: team.administer("DELETE", {}),
}
# Who lacks a skill still sees the queue; who is banned keeps what they had, for when the ban ends.
UNREADABLE = [how for how in LOSSES if how != "without the skill"]
RELEASING = [how for how in LOSSES if how != "account banned"]


@pytest.fixture
def team(stack: RunningStack, db: Connection, person: NewPerson, customer: Person, api: Client) -> Team:
    db.execute("update desk.support_agents set active = false where active")
    db.execute("delete from desk_private.staff_news")
    db.execute("insert into desk.customer_branches values (%s, 'north')", [customer.id])
    ticket = file(api(customer), "support", category="billing")["ticket_id"]
    db.execute("delete from desk_private.staff_news")
    agent, colleague = (
        person("agent", display_name=name, branch_id="north", skills=["billing"]) for name in ("Ann", "Bo")
    )
    db.execute("update desk.support_tickets set assigned_to = %s where id = %s", (agent.id, ticket))
    db.execute("update desk.notifications set mail_due = false where user_id = %s", [agent.id])
    db.execute("delete from desk.notifications where user_id = %s", [agent.id])
    return Team(stack, db, agent, colleague, ticket)


def test_news_of_a_ticket_goes_to_its_agent_alone(team: Team, rest: Client) -> None:
    for kind in KINDS:
        team.cause(kind)
    team.fan_out()
    assert team.digest(team.agent) == sorted(KINDS)
    assert team.digest(team.colleague) == []
    assert {row["kind"] for row in rest(team.agent).get("/notifications").json()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", LOSSES)
def test_what_waits_to_be_fanned_out_reaches_a_colleague(how: str, kind: str, team: Team) -> None:
    team.cause(kind)
    LOSSES[how](team)
    team.fan_out()
    assert team.digest(team.agent) == []
    assert team.digest(team.colleague) == [kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", RELEASING)
def test_what_was_fanned_out_but_not_read_reaches_a_colleague(how: str, kind: str, team: Team) -> None:
    team.cause(kind)
    team.fan_out()
    LOSSES[how](team)
    team.fan_out()
    assert team.digest(team.agent) == []
    assert kind in team.digest(team.colleague)


@pytest.mark.parametrize("how", UNREADABLE)
def test_what_was_copied_before_is_read_no_more(how: str, team: Team, rest: Client) -> None:
    team.cause("breached")
    team.fan_out()
    LOSSES[how](team)
    response = rest(team.agent).get("/notifications")
    assert response.status_code == 401 or response.json() == []


@pytest.mark.parametrize("how", LOSSES)
def test_a_digest_that_was_tried_before_is_sent_no_more(how: str, team: Team) -> None:
    team.cause("breached")
    team.fan_out()
    freeze = """
        update desk_private.outbox o set payload = desk_private.freeze_mail(o)
        where o.recipient = %s and o.state = 'pending' returning o.payload -> 'items'
    """
    team.db.execute(
        "delete from desk_private.outbox where kind = 'digest' and recipient <> %s", [team.agent.id]
    )
    [(items,)] = team.db.execute(freeze, [team.agent.id]).fetchall()
    assert items
    LOSSES[how](team)
    assert [row for row in team.db.execute(freeze, [team.agent.id]) if row[0]] == []


def test_an_unresolved_ticket_is_free_for_others_and_a_resolved_one_keeps_its_agent(
    team: Team, api: Client, customer: Person
) -> None:
    resolved = file(api(customer), "support", category="billing")["ticket_id"]
    team.db.execute(
        "update desk.support_tickets set assigned_to = %s, status = 'resolved' where id = %s",
        (team.agent.id, resolved),
    )
    team.set("active", False)
    found = "select assigned_to from desk.support_tickets where id = any (%s::uuid[]) order by status"
    assert [row[0] for row in team.db.execute(found, [[team.ticket, resolved]])] == [None, team.agent.id]


def test_a_deleted_person_gets_no_mail_that_waits(
    team: Team, stack: RunningStack, customer: Person, db: Connection
) -> None:
    waiting = "select count(*) from desk_private.outbox where ticket_id = %s and channel = 'mail'"
    db.execute("update desk_private.outbox set state = 'dead' where ticket_id = %s", [team.ticket])
    assert db.execute(waiting, [team.ticket]).fetchone() != (0,)
    Team(stack, db, customer, team.colleague, team.ticket).administer("DELETE", {})
    assert db.execute(waiting, [team.ticket]).fetchone() == (0,)
