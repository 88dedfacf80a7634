"""Who gets a place for a connection, and who is told to wait."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from sightline.infra.processes.connection_places import Places, Refused


def test_one_address_cannot_take_every_place() -> None:
    """It gets its share; whoever comes from elsewhere still gets in, up to the whole."""
    places = Places(4, 2)
    assert [places.take("10.0.0.1") for _ in range(3)] == [None, None, Refused.ONE_ADDRESS]
    assert places.take("10.0.0.2") is None
    assert places.take("10.0.0.3") is None
    assert places.take("10.0.0.4") is Refused.FULL


def test_a_place_that_is_given_back_can_be_taken_again() -> None:
    """And nothing is remembered of an address that has gone."""
    places = Places(2, 1)
    for _ in range(5):
        assert places.take("10.0.0.1") is None
        places.give("10.0.0.1")
    assert not places.taken


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "", True),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    """A network of IPv6 is one customer's, and an IPv4 address is one however it is written."""
    places = Places(9, 1)
    assert places.take(one) is None
    assert (places.take(other) is Refused.ONE_ADDRESS) is same


def test_a_proxys_connections_are_many_peoples() -> None:
    """A named proxy may take every place, and no more."""
    places = Places(3, 1, [ip_network("10.1.0.0/16")])
    hosts = ["10.1.2.3", "10.1.2.3", "::ffff:10.1.2.3", "10.1.2.3"]
    assert [places.take(host) for host in hosts] == [None, None, None, Refused.FULL]
    other = Places(3, 1, [ip_network("10.1.0.0/16")])
    assert [other.take("10.2.2.3") for _ in range(2)] == [None, Refused.ONE_ADDRESS]
