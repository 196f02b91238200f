"""Checks the answers of a new version before it gets traffic."""

import time

import pytest

from deploy.smoke import SmokeFailed, smoke
from deploy.table import Function, read_table, select
from tests.deploy.google.project import GATE, REQUEST_ID, Answer, answering, problem

LIST, ADD, SWEEP = select(read_table(), ["list-tickets", "add-message", "sla-sweep"])
CATEGORIES = Answer(200, {"success": True, "categories": []})


@pytest.mark.parametrize("status", [401, 404, 405])
def test_a_public_function_turns_strangers_away_in_our_own_words(status: int) -> None:
    with answering(problem(status, "some_code")) as url:
        smoke(ADD, url, timeout_s=0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (problem(503, "not_configured"), "503 not_configured"),
        (problem(500, "internal"), "500 internal"),
        (GATE, "is 403"),
        (Answer(200, {"success": True}), "is 200"),
        (Answer(404, "<html>Not Found</html>"), "not in the functions' error shape"),
        (Answer(404, {"error": "Not Found"}, REQUEST_ID), "not in the functions' error shape"),
        (Answer(404, problem(404, "not_found").body), "not in the functions' error shape"),
    ],
)
def test_anything_else_fails_it(answer: Answer, said: str) -> None:
    with answering(answer) as url, pytest.raises(SmokeFailed) as failed:
        smoke(ADD, url, timeout_s=0)
    assert said in str(failed.value)
    assert str(failed.value).startswith(f"add-message failed its smoke test at {url}: ")


def test_what_the_table_names_has_to_succeed() -> None:
    with answering({"/": problem(401, "unauthenticated"), "/categories": CATEGORIES}) as url:
        smoke(LIST, url, timeout_s=0)
    broken = {"/": problem(401, "unauthenticated"), "/categories": problem(503, "store_unavailable")}
    with answering(broken) as url, pytest.raises(SmokeFailed, match="categories should succeed, and is 503"):
        smoke(LIST, url, timeout_s=0)


def test_a_schema_that_is_not_exposed_is_named() -> None:
    broken = {"/": problem(401, "unauthenticated"), "/categories": problem(503, "not_configured")}
    with answering(broken) as url, pytest.raises(SmokeFailed, match="add desk to the exposed schemas"):
        smoke(LIST, url, timeout_s=0)


def test_a_private_function_is_not_reached() -> None:
    with answering(GATE) as url:
        smoke(SWEEP, url, timeout_s=0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(200, {"success": True}), "should be a 403, and is 200"),
        (problem(403, "forbidden"), "open to everybody"),
        (problem(401, "unauthenticated"), "open to everybody"),
        (Answer(404, "<html></html>"), "is 404"),
    ],
)
def test_a_private_function_that_answers_strangers_fails(answer: Answer, said: str) -> None:
    with answering(answer) as url, pytest.raises(SmokeFailed, match=said):
        smoke(SWEEP, url, timeout_s=0)


@pytest.mark.parametrize("function", [ADD, SWEEP], ids=["public", "private"])
def test_nobody_there_fails_it(function: Function) -> None:
    with answering(GATE) as gone:
        pass
    with pytest.raises(SmokeFailed, match="no answer"):
        smoke(function, gone, timeout_s=0)


def test_a_new_address_may_take_its_time() -> None:
    answers = {"/": Answer(404, "<html>Not found</html>")}
    with answering(answers) as url:
        began = time.monotonic()
        with pytest.raises(SmokeFailed):
            smoke(ADD, url, timeout_s=0.2)
        assert time.monotonic() - began >= 0.2
