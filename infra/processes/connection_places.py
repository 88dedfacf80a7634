"""Places for connections: so many in all, and so many for one address, whoever else is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

_IPV6_PREFIX_BITS = 64
"""A customer of IPv6 is given a network of this size at least, and all addresses in it are his."""


class Refused(StrEnum):
    """Why a new connection is refused, in words for the caller."""

    FULL = "too many connections are open; try again later"
    ONE_ADDRESS = "too many connections are open from your address; close some"


@dataclass(slots=True)
class Places:
    """Counts the connections of one event loop by the address that they come from.

    Args:
        places: for all connections together.
        each: for the connections of one address.
        proxies: addresses and networks whose connections are many people's, so that `each` does
            not hold for them.
    """

    places: int
    each: int
    proxies: Sequence[IPv4Network | IPv6Network] = ()
    taken: Counter[str] = field(default_factory=Counter)

    def take(self, host: str) -> Refused | None:
        """Take a place for a connection from `host`; None: it has one, and must `give` it back."""
        if self.taken.total() >= self.places:
            return Refused.FULL
        who = _who(host)
        if self.taken[who] >= self.each and not self._is_proxy(host):
            return Refused.ONE_ADDRESS
        self.taken[who] += 1
        return None

    def give(self, host: str) -> None:
        """Give one place back that `host` took."""
        who = _who(host)
        self.taken[who] -= 1
        if not self.taken[who]:
            del self.taken[who]

    def _is_proxy(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self.proxies)


def _who(host: str) -> str:
    """What counts as one address: an IPv4 address, or the network that an IPv6 address lies in."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_PREFIX_BITS), strict=False))
    return host if address is None else str(address)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address without its interface; IPv4 in the clothes of IPv6 is IPv4; None: it is none."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
