"""What a crash left between catalogue and log is published by itself, on both object stores."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import PartUnavailable
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.ports import ObjectStore
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.unpublished import GRACE, LOOKED, SKEW, Unpublished
from tests.catalogued_parts import Log, authority
from tests.running_loops import running
from tests.waiting import eventually

LATER_S = 2 * (GRACE + SKEW).total_seconds()
Place = tuple[ObjectStore, str]


@pytest.fixture
def clock() -> ManualClock:
    """So much later than the writes that their writers have given up."""
    clock = ManualClock(datetime.now(UTC))
    clock.advance(LATER_S)
    return clock


@pytest.fixture
def unpublished(
    catalogue: Catalogue, images: CataloguedImages, place: Place, clock: ManualClock
) -> Unpublished:
    """What is under test."""
    return Unpublished(catalogue, images, *place, clock=clock, every_s=0.01)


def crash(images: CataloguedImages, log: Log, image_id: str) -> None:
    """Write an image whose event does not reach the log."""
    log.broker.down = True
    with pytest.raises(PartUnavailable):
        images.put(image_id, b"1")
    log.broker.down = False


def test_what_a_crash_left_is_published_once(
    unpublished: Unpublished, images: CataloguedImages, log: Log
) -> None:
    """The images of finished writes are left alone, and a repeat finds nothing."""
    images.put("fine", b"1")
    crash(images, log, "left")
    assert unpublished.publish() == 1
    assert [state.image_id for state in log.states()] == ["fine", "left"]
    assert unpublished.publish() == 0


def test_a_write_that_goes_on_is_its_writers(
    catalogue: Catalogue, images: CataloguedImages, place: Place, log: Log
) -> None:
    """An entry of this moment is left to whoever wrote it; the next look has it."""
    clock = ManualClock(datetime.now(UTC))
    looking = Unpublished(catalogue, images, *place, clock=clock, every_s=1)
    crash(images, log, "young")
    assert looking.publish() == 0
    clock.advance(LATER_S)
    assert looking.publish() == 1


def test_a_broker_that_is_down_loses_nothing(
    unpublished: Unpublished, images: CataloguedImages, log: Log
) -> None:
    """A look that failed counts as none."""
    crash(images, log, "left")
    log.broker.down = True
    with pytest.raises(PartUnavailable):
        unpublished.publish()
    log.broker.down = False
    assert unpublished.publish() == 1


def test_old_entries_are_not_read_again(
    unpublished: Unpublished,
    images: CataloguedImages,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a whole look only what was written since costs a request of its own."""
    for number in range(3):
        images.put(f"i{number}", b"1")
    unpublished.publish()
    clock.advance(LATER_S)
    read: list[str] = []
    monkeypatch.setattr(images, "finish", read.append)
    unpublished.publish()
    assert read == []


def test_two_at_once_lose_nothing_and_count_nothing_twice(
    catalogue: Catalogue, place: Place, log: Log, clock: ManualClock
) -> None:
    """Two nodes that start together: each event is in the log, a repeat is the same event."""
    writer = authority(catalogue, place, log)
    for number in range(5):
        crash(writer, log, f"i{number}")
    nodes = [
        Unpublished(catalogue, authority(catalogue, place, log), *place, clock=clock, every_s=1)
        for _ in range(2)
    ]
    threads = [threading.Thread(target=node.publish) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = {(state.image_id, state.version) for state in log.states()}
    assert states == {(f"i{number}", 1) for number in range(5)}
    assert len(set(log.event_ids())) == 5
    assert nodes[0].publish() == 0


def test_a_damaged_entry_holds_up_nothing(
    unpublished: Unpublished,
    images: CataloguedImages,
    place: Place,
    log: Log,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told, and what comes behind it is published."""
    store, bucket = place
    crash(images, log, "left")
    store.put(bucket, "catalogue/damaged.json", b"{}")
    assert unpublished.publish() == 1
    assert "image damaged" in caplog.text


@pytest.mark.parametrize("mark", [b"yesterday", b"2026-01-01T00:00:00", b"2999-01-01T00:00:00Z"])
def test_a_mark_that_tells_nothing_is_none(
    unpublished: Unpublished, images: CataloguedImages, place: Place, log: Log, mark: bytes
) -> None:
    """Then everything is looked at once more: no time, none that is anywhere, one to come."""
    store, bucket = place
    store.put(bucket, f"catalogue/{LOOKED}", mark)
    crash(images, log, "left")
    assert unpublished.publish() == 1


def test_it_looks_at_start_and_again(
    unpublished: Unpublished, images: CataloguedImages, log: Log
) -> None:
    """Also after a look that failed; it ends when it is told to."""
    crash(images, log, "left")
    log.broker.down = True
    with running(unpublished.run):
        log.broker.down = False
        eventually(log.states, timeout_s=30, reason="the event")
