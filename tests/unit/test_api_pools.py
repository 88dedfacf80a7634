"""The API's threads once the process was told to stop."""

from __future__ import annotations

import asyncio

import pytest

from sightline.engine.errors import Part, PartUnavailable
from sightline.search_api.http.problems import of_error
from sightline.search_api.threads.pools import ApiPool, ApiThreads


def closed() -> ApiThreads:
    """All pools of an API that has stopped."""
    made = ApiThreads.made(searches=1, decoding=1, embedding=1, probed=[Part.BROKER])
    made.close()
    return made


POOLS = [name for name in ApiThreads.__dataclass_fields__ if name != "probes"]


@pytest.mark.parametrize("name", POOLS)
def test_a_request_that_comes_to_a_closed_pool_is_told_to_come_again(name: str) -> None:
    """As where the part behind it is away: 503 with `Retry-After`, and no unforeseen error."""
    pool: ApiPool = getattr(closed(), name)

    async def ask() -> None:
        await asyncio.get_running_loop().run_in_executor(pool, lambda: None)

    with pytest.raises(PartUnavailable) as told:
        asyncio.run(ask())
    answer = of_error(told.value).answer()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert b"is not available; try again later" in answer.body


def test_a_probe_of_a_closed_pool_fails_as_its_part() -> None:
    """Readiness takes the part for one that is down."""
    with pytest.raises(PartUnavailable) as told:
        closed().probes[Part.BROKER].submit(lambda: None)
    assert told.value.part is Part.BROKER
