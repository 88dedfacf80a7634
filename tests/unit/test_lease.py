"""A lease is one process's at a time, whoever asks, dies or has a wrong clock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import PartUnavailable
from sightline.engine.object_store.lease import Lease
from sightline.engine.object_store.memory import MemoryObjectStore
from tests.patience import patient
from tests.waiting import eventually

BUCKET, KEY, LASTS_S = "sightline", "work/lease.json", 60.0


class Place:
    """A bucket, and processes that want to work alone on it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryObjectStore(BUCKET)

    def lease(self, *, lasts_s: float = LASTS_S) -> Lease:
        """What a process makes for itself."""
        return Lease(self.store, BUCKET, KEY, lasts_s=lasts_s, clock=self.clock)


@pytest.fixture
def place() -> Place:
    """Nobody has held anything yet."""
    return Place()


def test_one_of_many_has_it(place: Place) -> None:
    """Though all ask at once."""
    leases = [place.lease() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(Lease.take, leases))
    assert sum(taken) == 1
    assert [lease.take() for lease in leases] == taken


def test_it_is_the_next_one_s_when_given_back(place: Place) -> None:
    """And nobody gives back what another holds."""
    one, other = place.lease(), place.lease()
    assert one.take()
    other.give_back()
    assert not other.take()
    one.give_back()
    assert other.take()


def test_a_holder_that_died_is_waited_for_so_long(place: Place) -> None:
    """Not less, not more; one that prolongs it keeps it."""
    dead, next_one = place.lease(), place.lease()
    assert dead.take()
    place.clock.advance(LASTS_S / 2)
    assert dead.take()
    place.clock.advance(LASTS_S - 1)
    assert not next_one.take()
    place.clock.advance(1)
    assert next_one.take()
    assert not dead.take()


def test_a_mark_of_a_wrong_clock_puts_nobody_off(place: Place) -> None:
    """One of next year, and one that nobody can read."""
    fast = ManualClock(place.clock.now() + timedelta(days=365))
    assert Lease(place.store, BUCKET, KEY, lasts_s=LASTS_S, clock=fast).take()
    assert place.lease().take()
    place.store.put(BUCKET, KEY, b"{")
    assert place.lease().take()


def test_it_is_kept_while_the_work_lasts(place: Place) -> None:
    """Prolonged by itself, also past a store that is away for a while, and then given back."""
    one, other = place.lease(lasts_s=0.03), place.lease(lasts_s=0.03)
    assert one.take()
    with one.kept():
        place.clock.advance(0.02)
        place.store.down = True
        with pytest.raises(PartUnavailable):
            other.take()
        place.store.down = False
        at = place.store.stat(BUCKET, KEY).etag
        eventually(lambda: place.store.stat(BUCKET, KEY).etag != at, timeout_s=10)
        place.clock.advance(0.02)
        assert not other.take()
    assert other.take()
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_who_keeps_a_lease_is_told_that_it_is_lost(place: Place) -> None:
    """To another, whose clock ran ahead; or to nobody knows whom, while the store is away."""
    one, other = place.lease(lasts_s=0.03), place.lease(lasts_s=0.03)
    assert one.take()
    with one.kept() as lost:
        assert not lost.is_set()
        place.clock.advance(1)
        eventually(other.take, timeout_s=10)
        assert lost.wait(patient(10))
    assert other.take(), "what is another's is not given back"
    other.give_back()
    assert one.take()
    with one.kept() as lost:
        place.store.down = True
        place.clock.advance(0.02)
        assert not lost.wait(0.1)
        place.clock.advance(0.02)
        assert lost.wait(patient(10))
    place.store.down = False
