from __future__ import annotations

import asyncio

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Overloaded, Part, SettingsInvalid
from sightline.engine.metrics import Metrics
from sightline.engine.settings import ApiSettings, Scope
from sightline.producers.images.ids import new_id
from sightline.search_api.http.keys import KeyRing, is_loopback
from sightline.search_api.http.limits.concurrency import Gate
from sightline.search_api.http.limits.rate_limit import MAX_CALLERS, RateLimit
from tests.api_parts import KEYS, key_of


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "search.example"])  # noqa: S104
def test_without_keys_only_loopback_is_bound(host: str) -> None:
    """An open API on an address that others reach refuses to start; a key makes it fine."""
    with pytest.raises(SettingsInvalid, match=r"api\.keys"):
        KeyRing(ApiSettings(host=host))
    KeyRing(ApiSettings(host=host, keys=KEYS))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_is_recognised(host: str) -> None:
    """By name and by address."""
    assert is_loopback(host)
    KeyRing(ApiSettings(host=host))


def test_a_write_key_names_its_owner() -> None:
    """Without one it would see every image that has none; it refuses to start."""
    with pytest.raises(SettingsInvalid, match="owner_id"):
        KeyRing(ApiSettings(keys=(key_of("k", Scope.WRITE),)))


def test_the_rate_is_kept_and_recovers() -> None:
    """After a burst of a sixth of a minute's requests, one every 60/limit seconds."""
    clock = ManualClock()
    limit = RateLimit(60, clock)
    assert [limit.wait_s("a") for _ in range(10)] == [0.0] * 10
    assert limit.wait_s("a") == pytest.approx(1.0)
    assert limit.wait_s("b") == 0.0
    clock.advance(1.0)
    assert limit.wait_s("a") == 0.0
    assert limit.wait_s("a") > 0.0


def test_callers_do_not_pile_up() -> None:
    """The longest unseen caller is forgotten."""
    limit = RateLimit(60, ManualClock())
    for n in range(MAX_CALLERS + 50):
        limit.wait_s(f"caller {n}")
    assert len(limit._buckets) == MAX_CALLERS


def test_past_twice_the_limit_searches_are_refused() -> None:
    """One inside, one waiting, the third is told which part it would wait for."""

    async def scenario() -> None:
        gate, leave = Gate(1, Metrics().searches_in_flight), asyncio.Event()

        async def hold() -> None:
            async with gate.enter(Part.INDEX):
                await leave.wait()

        holders = [asyncio.create_task(hold()) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="index"):
            async with gate.enter(Part.INDEX):
                pass
        leave.set()
        await asyncio.gather(*holders)
        async with gate.enter(Part.INDEX):
            pass

    asyncio.run(scenario())


def test_assigned_ids_sort_by_time_and_differ() -> None:
    """UUIDv7: version and variant bits set, unique."""
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(one[14] == "7" and one[19] in "89ab" for one in made)
