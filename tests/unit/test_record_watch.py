"""The loops of a process ask the store for what serves once between them, and miss no change."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import PartUnavailable, Unreadable
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records import StoredObject
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.untold_steps import StepTelling
from sightline.engine.serving.watch import RecordWatch
from sightline.infra.processes.generation_workers import GenerationWorkers
from sightline.infra.processes.group_forgetting import GroupForgetting
from sightline.infra.processes.reindex_loop import ReindexLoop
from tests.generation_parts import Deployment
from tests.indexed_images import NOON
from tests.patience import patient
from tests.unit.test_serving_record import with_ready
from tests.waiting import eventually

BUCKET, KEY = "sightline", "serving/sightline/state.json"
EVERY_S = 0.25


class CountingStore(MemoryObjectStore):
    """Counts what it is asked for the record."""

    def __init__(self) -> None:
        super().__init__(BUCKET)
        self.asked: Counter[str] = Counter()
        self.before: Callable[[], None] = lambda: None
        """Runs before each answer."""

    def stat(self, bucket: str, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        self.asked["stat"] += key == KEY
        self.before()
        return super().stat(bucket, key)

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """See `ObjectStore.get`."""
        self.asked["get"] += key == KEY
        return super().get(bucket, key, max_bytes=max_bytes)


class CountingLock:
    """Counts who has come to it, whether or not it let them in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.came = 0

    def __enter__(self) -> None:
        """Wait for one's turn."""
        self.came += 1
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        """Give it to the next."""
        self._lock.release()


class Place:
    """A record in a store that counts, and its watch."""

    def __init__(self) -> None:
        self.store, self.clock = CountingStore(), ManualClock(NOON)
        self.record = ServingRecord(self.store, BUCKET, "sightline")
        self.record.begin(with_ready())
        self.watched = RecordWatch(self.record, every_s=EVERY_S, clock=self.clock)
        self.store.asked.clear()

    def change(self) -> None:
        """Another process makes a step."""
        self.record.change(lambda state: state.dropped("g-2", NOON, timedelta()))
        self.store.asked.clear()


def test_all_are_answered_from_what_one_has_asked() -> None:
    """Within the time that an answer lasts; then one asks again, and parses nothing that is old."""
    place = Place()
    for _ in range(4):
        found = place.watched.find()
        assert found is not None
        assert place.watched.etag() == found.etag
        assert place.watched.find() is found
    assert place.store.asked["get"] == 1
    place.store.asked.clear()
    for _ in range(4):
        place.clock.advance(EVERY_S)
        for _ in range(5):
            assert place.watched.find() is found
    assert place.store.asked == {"stat": 4}


def test_a_change_is_seen_when_the_answer_is_old_or_at_once_by_who_asks() -> None:
    """Once by whoever asks for the newest, and thereby by all."""
    place = Place()
    old = place.watched.find()
    place.change()
    assert place.watched.find() is old
    new = place.watched.etag(now=True)
    found = place.watched.find()
    assert (found, place.record.etag()) == (place.record.read(), new)
    place.record.change(lambda state: state.removed("g-2"))
    place.clock.advance(EVERY_S)
    assert place.watched.find() == place.record.read()


def test_who_waits_is_woken_by_whoever_sees_a_change() -> None:
    """Without a question to the store; what was seen before the wait began is not waited for."""
    place, stop = Place(), threading.Event()
    assert place.watched.find() is not None
    seen = place.watched.changes
    assert not place.watched.wait(seen, 0.0, stop)
    place.change()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(place.watched.wait, seen, patient(60), stop)
        assert place.watched.etag(now=True) is not None
        assert not waits.result()
    assert place.watched.changes == seen + 1
    assert not place.watched.wait(seen, patient(60), stop)
    assert place.store.asked == {"stat": 1}


def test_who_waits_ends_with_the_loop_that_looks() -> None:
    """All loops of a process end at once, though one sleeps longer than others."""
    place, stop = Deployment(), threading.Event()
    watched = place.serving.watched
    seen = watched.changes
    stop.set()
    place.follower().follow(stop)
    assert watched.changes == seen + 1
    assert watched.wait(watched.changes, patient(60), stop)


def test_a_failure_is_not_kept() -> None:
    """The next one asks the store again, and what is there once more is found."""
    place = Place()
    assert place.watched.find() is not None
    place.change()
    place.clock.advance(EVERY_S)
    place.store.down = True
    for look in (place.watched.etag, place.watched.find):
        with pytest.raises(PartUnavailable):
            look()
    place.store.down = False
    assert place.watched.find() == place.record.read()


def test_what_cannot_be_read_is_no_answer_that_lasts() -> None:
    """Its etag is known, for who waits until it changes; nobody is given the state before it."""
    place = Place()
    before = place.watched.find()
    good = place.store.get(BUCKET, KEY, max_bytes=1 << 20)
    place.store.put(BUCKET, KEY, b"{", content_type="application/json")
    place.clock.advance(EVERY_S)
    for _ in range(2):
        with pytest.raises(Unreadable):
            place.watched.find()
    place.store.asked.clear()
    assert place.watched.etag() == place.record.etag()
    place.store.put(BUCKET, KEY, good, content_type="application/json")
    place.clock.advance(EVERY_S)
    found = place.watched.find()
    assert found is not None
    assert before is not None
    assert found.state == before.state


def test_nothing_serves_until_it_does() -> None:
    """That there is no record is an answer as well."""
    place = Place()
    place.store.delete(BUCKET, KEY)
    place.store.asked.clear()
    for _ in range(3):
        assert (place.watched.etag(), place.watched.find()) == (None, None)
    assert place.store.asked == {"stat": 1}
    place.record.begin(with_ready())
    assert place.watched.find(now=True) == place.record.read()


@pytest.mark.parametrize("is_down", [False, True])
def test_who_comes_while_one_asks_has_the_same_answer(
    monkeypatch: pytest.MonkeyPatch, *, is_down: bool
) -> None:
    """One request is under way at a time; who waited for a store that is away is told so too."""
    place, lock, go_on = Place(), CountingLock(), threading.Event()
    monkeypatch.setattr(place.watched, "_asking", lock)

    def wait() -> None:
        go_on.wait()

    place.store.before = wait
    with ThreadPoolExecutor(4) as threads:
        looks = [threads.submit(place.watched.etag) for _ in range(4)]
        eventually(lambda: lock.came == 4)
        place.store.down = is_down
        go_on.set()
        failures = [look.exception() for look in looks]
    assert place.store.asked["stat"] == 1
    assert [isinstance(one, PartUnavailable) for one in failures] == [is_down] * 4


def test_the_loops_of_an_idle_node_ask_once_between_them() -> None:
    """Ten seconds of a node: forty looks of the one that follows, and nothing else."""
    place, clock, stop = Deployment(), ManualClock(NOON), threading.Event()
    store = CountingStore()
    record = ServingRecord(store, BUCKET, "sightline")
    record.begin(place.record.read().state)
    place.clock = clock
    place.serving = replace(
        place.serving,
        watched=RecordWatch(record, every_s=EVERY_S, clock=clock),
        opened_for=record.read(),
    )
    follower, workers, reindex = (
        place.follower(),
        GenerationWorkers(place.node()),
        ReindexLoop(place.node()),
    )
    telling = StepTelling(place.serving.watched, place.producer, clock)
    forgetting = GroupForgetting(place.serving.watched, MemoryEventLog(place.broker))
    store.asked.clear()
    for tick in range(40):
        clock.advance(EVERY_S)
        follower.look()
        workers._look()
        if tick % 2 == 0:
            reindex.look(stop)
            assert not reindex.is_soon
        if tick % 4 == 0:
            telling.look()
        if tick % 20 == 0:
            forgetting.look()
    assert store.asked == {"stat": 41, "get": 1}
