"""Each function is a table of routes, with one handler for each."""

import inspect

import pytest

from contract.__main__ import load_module
from deploy.table import Function, read_table
from shared.http.endpoint import Handler

MAX_LINES = 25
FUNCTIONS = read_table()


def handlers_of(function: Function) -> dict[str, Handler]:
    entry = getattr(load_module(function), function.entry_point)
    return dict(entry.handlers)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_each_route_has_a_handler_of_its_own(function: Function) -> None:
    handlers = list(handlers_of(function).values())
    assert handlers
    assert len({handler.__name__ for handler in handlers}) == len(handlers)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_handler_is_short_and_stands_in_the_function(function: Function) -> None:
    for handler in handlers_of(function).values():
        assert handler.__module__ == function.entry_point
        assert len(inspect.getsource(handler).splitlines()) <= MAX_LINES


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_no_function_asks_for_its_route(function: Function) -> None:
    assert "call.route" not in function.source.read_text()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_the_entry_point_is_called_as_the_function_is(function: Function) -> None:
    assert getattr(load_module(function), function.entry_point).__name__ == function.entry_point
