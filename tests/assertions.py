"""Asserts the shape that every answer of every function has."""

import httpx


def assert_problem(response: httpx.Response, status: int, code: str, path: str | None = None) -> None:
    """The one error shape, with that status, code and, if given, field."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    problem = response.json()
    assert set(problem) == {"success", "error", "code", "fields", "request_id"}
    assert problem["success"] is False
    assert problem["code"] == code
    assert problem["error"].endswith(".")
    assert problem["request_id"] == response.headers["x-request-id"]
    if path:
        assert path in [field["path"] for field in problem["fields"]], problem


def assert_unavailable(response: httpx.Response) -> None:
    assert_problem(response, 503, "store_unavailable")
    assert int(response.headers["retry-after"]) > 0
