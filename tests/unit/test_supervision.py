"""Loops side by side: which failure ends which of them, and who hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import DeadLetterLimit
from sightline.engine.health import Health
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.supervision import label_children
from sightline.infra.supervision.children import ChildProcess
from sightline.infra.supervision.label_children import StageChild, supervised
from sightline.infra.supervision.loops import begun_anew, run_together
from sightline.schemas.labels import Stage
from sightline.stream_workers.delivery.letter_limit import EXIT_DEAD_LETTER_LIMIT
from tests.patience import patient
from tests.waiting import eventually


def raises(error: BaseException) -> Callable[[threading.Event], None]:
    """A loop that ends at once."""

    def loop(stop: threading.Event) -> None:
        del stop
        raise error

    return loop


def test_a_loop_that_met_its_limit_stops_alone() -> None:
    """The API goes on until it is told to stop; the reason is told at once, and at the end."""
    health, stop = Health(ManualClock()), threading.Event()
    ended: list[BaseException] = []
    loops = {"bridge": raises(DeadLetterLimit("too many")), "api": lambda s: s.wait() and None}

    def run() -> None:
        try:
            run_together(loops, stop, stopped=health.stop)
        except DeadLetterLimit as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: health.stopped() == {"bridge": "too many"}, timeout_s=10)
    assert thread.is_alive()
    assert not stop.is_set()
    assert health.parts() == ()
    stop.set()
    thread.join(patient(10))
    assert [str(error) for error in ended] == ["too many"]


def test_the_only_loop_of_a_process_ends_it() -> None:
    """Nothing is left that could go on."""
    with pytest.raises(DeadLetterLimit):
        run_together({"worker": raises(DeadLetterLimit("too many"))}, threading.Event())


def test_any_other_failure_ends_all() -> None:
    """What we did not foresee is not survived, and comes before what stopped alone."""
    loops = {
        "bridge": raises(DeadLetterLimit("too many")),
        "api": lambda stop: stop.wait() and None,
        "worker": raises(ZeroDivisionError()),
    }
    with pytest.raises(ZeroDivisionError):
        run_together(loops, threading.Event())


def test_of_several_failures_the_first_is_raised() -> None:
    """What fails while the others end is often a consequence, and would hide the cause."""

    def consequence(stop: threading.Event) -> None:
        stop.wait()
        raise ValueError("the parts are closed")

    loops = {"worker": raises(ZeroDivisionError()), "api": consequence}
    with pytest.raises(ZeroDivisionError):
        run_together(loops, threading.Event())


def test_what_a_process_can_do_without_begins_anew() -> None:
    """It is told while it is away, and when it has gone on; a refusal is not survived."""
    health, stop = Health(ManualClock()), threading.Event()
    tries = iter([ValueError("odd"), KeyError("odd")])
    seen: list[dict[str, str]] = []

    def fails(stop: threading.Event) -> None:
        seen.append(health.stopped())
        error = next(tries, None)
        if error is not None:
            raise error
        eventually(lambda: health.stopped() == {}, timeout_s=10)
        stop.set()

    def begun(loop: Callable[[threading.Event], None]) -> Callable[[threading.Event], None]:
        again = begun_anew(
            {"sweep": loop}, stopped=health.stop, resumed=health.resume, again_s=0.01
        )
        return again["sweep"]

    begun(fails)(stop)
    assert [list(each) for each in seen] == [[], ["sweep"], ["sweep"]]
    with pytest.raises(DeadLetterLimit):
        begun(raises(DeadLetterLimit("too many")))(threading.Event())


def test_a_stage_that_met_its_limit_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start would bury as many more."""
    starts: list[int] = []

    def run(child: ChildProcess, stop: threading.Event) -> int:
        del child, stop
        starts.append(1)
        return EXIT_DEAD_LETTER_LIMIT

    monkeypatch.setattr(label_children, "run_child", run)
    child = StageChild(
        stage=Stage.JOIN, kafka=KafkaSettings(), labels=LabelSettings(), data_directory=tmp_path
    )
    with pytest.raises(DeadLetterLimit, match="join"):
        supervised(child, ManualClock())(threading.Event())
    assert len(starts) == 1
