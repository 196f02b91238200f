"""What is hidden in headers, paths, filters and bodies: it stays text, it costs little, and it is nowhere in the logs."""

import pytest

from tests.cast import Client, Person
from tests.contract import assert_problem


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00-23:51", "2026-01-01T00:00:00+16:00"])
def test_a_zone_that_the_store_does_not_know_is_told(moment: str, api: Client, customer: Person) -> None:
    response = api(customer).get("/list-tickets", params={"created_after": moment})
    assert_problem(response, 422, "invalid", "created_after")
