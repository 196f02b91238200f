"""What belongs to a branch is not for the staff of another one."""

from typing import Any

import pytest

from deploy.migrate import Connection
from local.people import Client, NewPerson, Person
from tests.assertions import assert_problem
from tests.payloads import file

FEEDBACK = {"category": "praise", "description": "Very good."}


@pytest.fixture
def north(db: Connection, customer: Person) -> Person:
    """Returns a customer of the branch north."""
    db.execute("insert into desk.customer_branches values (%s, 'north')", [customer.id])
    return customer


@pytest.fixture
def staff(person: NewPerson) -> dict[str, Person]:
    return {
        branch: person("admin", display_name=branch, branch_id=branch if branch != "all" else None)
        for branch in ("north", "south", "all")
    }


@pytest.mark.parametrize(("branch", "sees"), [("north", True), ("all", True), ("south", False)])
class TestStaff:
    def test_reads_and_reviews_the_feedback_of_the_branch(
        self, branch: str, sees: bool, staff: dict[str, Person], north: Person, rest: Client, api: Client
    ) -> None:
        given = rest(north).post("/rpc/create_feedback", json=FEEDBACK).json()["feedback_id"]
        mine = rest(staff[branch])
        assert bool(mine.get("/user_feedback", params={"id": f"eq.{given}"}).json()) is sees
        answer = api(staff[branch]).patch(f"/admin-update/feedback/{given}", json={"status": "planned"})
        assert answer.status_code == (200 if sees else 404)

    def test_reads_the_customers_of_the_branch(
        self, branch: str, sees: bool, staff: dict[str, Person], north: Person, rest: Client
    ) -> None:
        found = rest(staff[branch]).get("/customer_branches", params={"customer_id": f"eq.{north.id}"})
        assert bool(found.json()) is sees

    def test_retries_the_dead_letters_of_the_branch(
        self,
        branch: str,
        sees: bool,
        staff: dict[str, Person],
        north: Person,
        api: Client,
        db: Connection,
    ) -> None:
        ticket = file(api(north))["ticket_id"]
        die = "update desk_private.outbox set state = 'dead' where ticket_id = %s and channel = 'mail' returning id"
        row: Any = db.execute(die, [ticket]).fetchone()
        mine = api(staff[branch])
        listed = mine.get("/admin-update/dead-letters").json()["dead_letters"]
        assert (row[0] in [letter["id"] for letter in listed]) is sees
        retried = mine.post(f"/admin-update/dead-letters/{row[0]}/retry", json={})
        assert retried.status_code == (200 if sees else 404)
        db.execute("delete from desk_private.outbox where id = %s", [row[0]])


@pytest.mark.parametrize("branch", ["north", "south"])
def test_an_admin_of_a_branch_does_not_reach_beyond_it(
    branch: str, staff: dict[str, Person], north: Person, rest: Client, person: NewPerson, db: Connection
) -> None:
    admin = staff[branch]
    mine, me = rest(admin), {"user_id": f"eq.{admin.id}"}
    mine.patch("/support_agents", params=me, json={"branch_id": None})
    mine.patch("/customer_branches", params={"customer_id": f"eq.{north.id}"}, json={"branch_id": "south"})
    mine.delete("/support_agents", params={"user_id": f"eq.{staff['all'].id}"})
    hired = {"user_id": str(person().id), "display_name": "Hired"}
    assert mine.post("/support_agents", json=hired).status_code == 403
    kept = "select user_id, branch_id from desk.support_agents where user_id = any (%s)"
    agents = {row[0]: row[1] for row in db.execute(kept, [[admin.id, staff["all"].id]])}
    assert agents == {admin.id: branch, staff["all"].id: None}
    customers = "select branch_id from desk.customer_branches where customer_id = %s"
    assert db.execute(customers, [north.id]).fetchone() == ("north",)


def test_an_admin_of_a_branch_sees_no_digest_among_the_dead_letters(
    staff: dict[str, Person], api: Client, db: Connection
) -> None:
    row: Any = db.execute(
        "insert into desk_private.outbox (channel, kind, ordering_key, recipient, state)"
        " values ('mail', 'digest', 'digest:x', %s, 'dead') returning id",
        [staff["north"].id],
    ).fetchone()
    for branch, sees in (("north", False), ("all", True)):
        listed = api(staff[branch]).get("/admin-update/dead-letters").json()["dead_letters"]
        assert (row[0] in [letter["id"] for letter in listed]) is sees
    path = f"/admin-update/dead-letters/{row[0]}/retry"
    assert_problem(api(staff["south"]).post(path, json={}), 404, "not_found")
    db.execute("delete from desk_private.outbox where id = %s", [row[0]])
