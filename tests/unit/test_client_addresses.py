"""Who counts as one client where no key says so: in the rate limit and in the audit log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import Request
from starlette.types import Receive, Scope, Send

from sightline.engine.clock import ManualClock
from sightline.engine.metrics import Metrics
from sightline.schemas.registry import decode
from sightline.search_api.audit.audit_log import AuditLog
from sightline.search_api.audit.audited import Audited
from sightline.search_api.http.keys import bucket
from tests.worker_parts import MemoryLog

ALIKE = [
    ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
    ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ("::ffff:192.0.2.7", "192.0.2.7", True),
    ("192.0.2.7", "192.0.2.8", False),
    ("testclient", "testclient", True),
]


def request_from(host: str) -> dict[str, Any]:
    """The scope of a request from that address."""
    return {"type": "http", "method": "GET", "headers": [], "client": (host, 50_000)}


@pytest.mark.parametrize(("one", "other", "same"), ALIKE)
def test_the_rate_limit_counts_customers(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    """Whoever has a network of IPv6 has one allowance, not 2**64."""
    of_one, of_other = (bucket(Request(request_from(host)), None) for host in (one, other))
    assert (of_one == of_other) is same


async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An application that knows nobody."""
    await send({"type": "http.response.start", "status": 401, "headers": []})


def refusals_told_of(*hosts: str) -> list[tuple[str, str, int]]:
    """What the audit log has of one refusal of each: who, where the first came from, how many."""
    clock = ManualClock()
    log = MemoryLog(clock)
    audit = AuditLog(log, clock, Metrics(), source="/test")

    async def nothing(*_: object) -> Any:
        return None

    for host in hosts:
        asyncio.run(Audited(refuse, audit)(request_from(host), nothing, nothing))
    audit.tell(everything=True)
    told = [decode(message.value).data for message in log.records["audit.v1"]]
    return [(one.who, one.address, one.count) for one in told]


@pytest.mark.parametrize(("one", "other", "same"), ALIKE)
def test_the_audit_log_counts_customers(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    """So that nobody alone fills its kinds; it says from which address the first refusal came."""
    told = refusals_told_of(one, other)
    assert (told[0][0] == told[1][0]) is same
    assert [address for _, address, _ in told] == [one, other]
