"""A client's address in, who counts as one by it out: in rates, connections and the audit log."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_IPV6_PREFIX_BITS = 64
"""A customer of IPv6 is given a network of this size at least, and all addresses in it are his."""


@lru_cache(maxsize=256)
def counted_as(host: str) -> str:
    """An IPv4 address, or the network that an IPv6 address lies in; what is neither, as it is."""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_PREFIX_BITS), strict=False))
    return host if address is None else str(address)


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address without its interface; IPv4 in the clothes of IPv6 is IPv4; None: it is none."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
