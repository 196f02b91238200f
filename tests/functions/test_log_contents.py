"""What people wrote, their addresses and their tokens reach no log: not PostgreSQL's or PostgREST's either."""

from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from local.people import Client, NewPerson, Person, RunningStack
from tests.payloads import send

WORD = f"canary{uuid4().hex}"


def logs(stack: RunningStack) -> dict[str, str]:
    """Reads the logs of all parts, which are beside the cluster."""
    with psycopg.connect(stack.admin_url) as connection:
        row = connection.execute("show data_directory").fetchone()
    assert row
    return {path.name: path.read_text(errors="replace") for path in Path(row[0]).parent.glob("log/*.log")}


@pytest.mark.last
def test_no_log_of_the_whole_run_holds_what_people_wrote(
    stack: RunningStack, api: Client, rest: Client, person: NewPerson, agent: Person
) -> None:
    writer = person(email=f"{WORD}@example.com")
    filed = send(api(writer), "support", subject=WORD, description=WORD).json()
    ticket = filed["ticket_number"]
    changes = {"status": "resolved", "resolution": WORD}
    assert api(agent).patch(f"/admin-update/{ticket}", json=changes).status_code == 200
    refused = [
        api(agent).patch(f"/admin-update/{ticket}", json={"priority": "low", "expected_version": 99}),
        api(agent).patch(f"/admin-update/{ticket}", json={"assigned_to": WORD}),
        api(writer).patch(f"/admin-update/{ticket}", json={"resolution": WORD}),
        api(writer).post(f"/add-message/{ticket}", json={"body": WORD, "attachments": [WORD]}),
        api(writer).get("/list-tickets", params={"q": WORD, "cursor": WORD}),
        send(api(writer), "support", category=WORD),
        send(api(writer), "support", context={WORD: {"a": WORD}}),
        send(api(agent), "support", customer=f"{WORD}@example.org"),
        rest(writer).post(
            "/rpc/list_tickets", json={"q": WORD, "cursor": f"2026-99-99T99:99:99.999Z_{uuid4()}"}
        ),
        rest(writer).post(
            "/rpc/create_ticket", json={"issue_type": WORD, "subject": WORD, "description": WORD}
        ),
        rest(writer).post("/rpc/rate_ticket", json={"ticket": ticket, "rating": 9, "comment": WORD}),
    ]
    assert {answer.is_success for answer in refused} == {False}
    found = {
        name: line
        for name, text in logs(stack).items()
        for line in text.splitlines()
        if WORD in line or writer.token in line or agent.token in line
    }
    assert found == {}
    assert "postgrest.log" in logs(stack)
    assert "ERROR" in logs(stack)["postgres.log"]
