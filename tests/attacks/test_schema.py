"""Everything that the OpenAPI document allows, and more, sent to the running functions by people of every kind.

Whatever is sent, nothing breaks, and every answer is one that the document has for it. `make attacks` does the same for longer.
"""

import json
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contract.__main__ import DOCUMENT
from local.people import Client, Person, RunningStack
from tests.payloads import file, send

EXAMPLES = int(os.environ.get("ATTACKS", "6"))
HELD = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
# functions-framework's own router, which no function gets to see: a line break in the path.
FROM_THE_FRAMEWORK = [(404, b"Not Found")]
WHO = ("unsigned", "customer", "agent", "admin")
PATHS = json.loads(DOCUMENT.read_text())["paths"]
# There is nothing to get wrong about what takes nothing from nobody in particular.
ATTACKS = [
    (path, method, mode)
    for path, methods in PATHS.items()
    for method in methods
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path != "/list-tickets/categories"
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    load_all_checks()
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return found


@pytest.fixture
def known(api: Client, customer: Person, agent: Person) -> dict[str, list[str]]:
    """Names for the path that are there: tickets of the customer in several states, an escalation, feedback."""
    mine, desk = api(customer), api(agent)
    tickets = [file(mine, kind)["ticket_number"] for kind in ("other", "chatbot", "contact")]
    for ticket, status in zip(tickets, ("resolved", "waiting_on_customer"), strict=False):
        assert desk.patch(f"/admin-update/{ticket}", json={"status": status}).status_code == 200
    asked = mine.post(f"/add-message/{tickets[2]}/escalation", json={"reason": "It is urgent."}).json()
    given_feedback = send(mine, "feedback").json()
    return {"ticket": tickets, "id": [asked["escalation_id"], given_feedback["feedback_id"], "1"]}


@pytest.mark.parametrize(("path", "method", "mode"), ATTACKS)
def test_nothing_that_is_sent_breaks_a_function(
    path: str,
    method: str,
    mode: Any,
    document: dict[str, Any],
    known: dict[str, list[str]],
    stack: RunningStack,
    request: pytest.FixtureRequest,
) -> None:
    people: dict[str, Person | None] = {
        who: None if who == "unsigned" else request.getfixturevalue(who) for who in WHO
    }
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(allow_x00=True)
    strategy = schema[path][method.upper()].as_strategy(generation_mode=mode)
    answered: dict[int, int] = {}

    @given(case=strategy, names=st.fixed_dictionaries({name: st.sampled_from(known[name]) for name in known}))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="ATTACKS" not in os.environ,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def attack(case: schemathesis.Case[Any], names: dict[str, str]) -> None:
        if mode is GenerationMode.POSITIVE and case.path_parameters:
            case.path_parameters = {name: names[name] for name in case.path_parameters}
        for person in people.values():
            bearer = {"Authorization": f"Bearer {person.token}"} if person else {}
            response = case.call(base_url=stack.functions_url, headers=bearer, timeout=30)
            answered[response.status_code] = answered.get(response.status_code, 0) + 1
            if (response.status_code, response.content) in FROM_THE_FRAMEWORK:
                continue
            if response.status_code >= 400:
                assert set(response.json()) >= {"success", "error", "code", "fields", "request_id"}
            # A path value such as a/b or .. is another path.
            if response.status_code not in (404, 405) or "{" not in path:
                case.validate_response(response, checks=HELD)

    attack()
    assert sum(answered.values()) >= len(people)
