"""Finds the network that an anonymous contact form comes from."""

import pytest
from starlette.requests import Request

from shared.http.contact_form import network_of


def request(forwarded: list[str], peer: str | None = "192.0.2.9") -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": (peer, 1) if peer else None})


@pytest.mark.parametrize(
    ("forwarded", "hops", "network"),
    [
        (["203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7"], 1, "203.0.113.7"),
        (["made up, 203.0.113.7,10.0.0.1"], 2, "203.0.113.7"),
        (["::ffff:203.0.113.7"], 1, "203.0.113.7"),
        (["2001:db8:1:2:3:4:5:6"], 1, "2001:db8:1:2::/64"),
        (["2001:DB8:1:2::9"], 1, "2001:db8:1:2::/64"),
        (["203.0.113.7"], 0, "192.0.2.9"),
        (["203.0.113.7"], 2, "192.0.2.9"),
        (["unknown"], 1, "192.0.2.9"),
        ([""], 1, "192.0.2.9"),
        ([], 1, "192.0.2.9"),
    ],
)
def test_the_network_is_what_the_trusted_hop_saw(forwarded: list[str], hops: int, network: str) -> None:
    assert network_of(request(forwarded), hops) == network


def test_somebody_from_nowhere_shares_a_quota_with_others_of_the_kind() -> None:
    assert network_of(request([], peer=None), 1) == "unknown"
