"""Time that tests turn, delays between attempts, and the board of what is up."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.backoff import Backoff, retry_for, retry_transient
from sightline.engine.clock import EPOCH, ManualClock, SystemClock
from sightline.engine.errors import Part, PartUnavailable, PermanentError, TransientError
from sightline.engine.health import Health, PartHealth
from sightline.engine.ports import Clock


def test_a_manual_clock_moves_only_when_told() -> None:
    """Both of its faces, together, and never back."""
    clock = ManualClock()
    clock.advance(1.5)
    assert (clock.now() - EPOCH).total_seconds() == clock.monotonic() == 1.5
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_the_system_clock_has_a_zone() -> None:
    """Instants are comparable with those of events."""
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() is not None
    assert clock.monotonic() <= clock.monotonic()


@given(st.floats(0.01, 5), st.floats(5, 60), st.integers(1, 60), st.floats(0, 1))
def test_delays_double_up_to_the_bound(
    initial_s: float, maximum_s: float, attempts: int, luck: float
) -> None:
    """Each lies between half and all of its step, which never passes the maximum."""
    backoff = Backoff(initial_s=initial_s, maximum_s=maximum_s, rng=lambda: luck)
    for attempt in range(attempts):
        step_s = min(maximum_s, initial_s * 2.0**attempt)
        assert step_s / 2 <= backoff.next_s() <= step_s * (1 + 1e-9)
    backoff.reset()
    assert backoff.next_s() <= initial_s * (1 + 1e-9)


class Flaky:
    """Fails so many times, then works."""

    def __init__(self, error: Exception, times: int) -> None:
        self._error = error
        self.left = times

    def __call__(self) -> str:
        """One attempt."""
        self.left -= 1
        if self.left >= 0:
            raise self._error
        return "done"


def quick() -> Backoff:
    """No delay worth mentioning."""
    return Backoff(initial_s=0.0, maximum_s=0.0)


def test_transient_errors_are_retried_and_told() -> None:
    """Until it works; each failure is reported."""
    told: list[TransientError] = []
    down = PartUnavailable(Part.STORE, "away")
    answer = retry_transient(
        Flaky(down, 3), backoff=quick(), stop=threading.Event(), failed=told.append
    )
    assert (answer, told) == ("done", [down] * 3)


def test_permanent_errors_and_a_stop_end_the_attempts() -> None:
    """Trying again changes nothing, or is no longer wanted."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(TransientError):
        retry_transient(
            Flaky(TransientError("away"), 99), backoff=quick(), stop=stop, failed=lambda _: None
        )
    with pytest.raises(PermanentError):
        retry_transient(
            Flaky(PermanentError("no"), 1),
            backoff=quick(),
            stop=threading.Event(),
            failed=lambda _: None,
        )


def test_what_passes_is_repeated_for_a_while() -> None:
    """Every so often until it works; what does not pass, or lasts too long, is raised."""
    passing, lasting = PartUnavailable(Part.INDEX, "in a moment"), TransientError("no")
    answer = retry_for(5.0, Flaky(passing, 3), every_s=0.0, passes=lambda e: e is passing)
    assert answer == "done"
    asked = Flaky(lasting, 1)
    with pytest.raises(TransientError, match="no"):
        retry_for(5.0, asked, every_s=0.0, passes=lambda e: e is passing)
    assert asked() == "done", "it was asked once"
    with pytest.raises(PartUnavailable, match="in a moment"):
        retry_for(0.0, Flaky(passing, 3), every_s=0.0, passes=lambda _: True)


def test_health_tells_transitions_once_and_keeps_since() -> None:
    """Repeated reports of one state are one state; notes outlive an outage."""
    clock = ManualClock()
    changes: list[PartHealth] = []
    health = Health(clock, changed=changes.append)
    health.up(Part.EMBEDDER, "openvino")
    clock.advance(5)
    health.down(Part.EMBEDDER, "no memory")
    health.down(Part.EMBEDDER, "still none")
    clock.advance(5)
    assert not health.is_up(Part.EMBEDDER)
    seen = health.of(Part.EMBEDDER)
    assert seen is not None
    assert (seen.reason, seen.since) == ("still none", EPOCH.replace(second=5))
    health.up(Part.EMBEDDER)
    assert [change.up for change in changes] == [True, False, True]
    assert changes[-1].reason == "openvino"
    assert health.is_up(Part.EMBEDDER)
    assert health.is_up(Part.INDEX)
    assert [part.part for part in health.parts()] == [Part.EMBEDDER]
