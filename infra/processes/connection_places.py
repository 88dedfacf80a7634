"""Places for connections: so many in all, and so many for one address, whoever else is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from sightline.search_api.http.addresses import address_of, counted_as


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
        who = counted_as(host)
        if self.taken[who] >= self.each and not self._is_proxy(host):
            return Refused.ONE_ADDRESS
        self.taken[who] += 1
        return None

    def give(self, host: str) -> None:
        """Give one place back that `host` took."""
        who = counted_as(host)
        self.taken[who] -= 1
        if not self.taken[who]:
            del self.taken[who]

    def _is_proxy(self, host: str) -> bool:
        address = address_of(host)
        return address is not None and any(address in network for network in self.proxies)
