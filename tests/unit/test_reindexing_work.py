"""A second generation beside the first, on one log: filled by features or by bytes, and proven."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.pacing import Pace
from sightline.engine.records import IndexedImage, Message, TopicPartition
from sightline.engine.vector_index.packed_features import Packing
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageDeleted
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_MODERATION
from sightline.stream_workers.reindexing import work
from sightline.stream_workers.reindexing.catching_up import CatchingUp
from sightline.stream_workers.reindexing.offsets import begin_groups, forgotten
from sightline.stream_workers.reindexing.parity import Parity, Reproduced
from sightline.stream_workers.reindexing.progress import ReindexProgress
from sightline.stream_workers.reindexing.reproduction import reproduce
from sightline.stream_workers.reindexing.seed import Projected
from sightline.stream_workers.reindexing.work import GenerationWork
from tests.indexed_images import NOON
from tests.steps import ended
from tests.worker_parts import DIMENSIONS, TinyEmbedder, tiny_decode
from tests.worker_world import TOPICS, World, public, reference

FIRST_GROUPS = {topic: f"g-{lane}" for lane, topic in TOPICS.items()}
SECOND_GROUPS = {topic: f"g-second-{lane}" for lane, topic in TOPICS.items()}
UNPACED = Pace(None, clock=ManualClock(), stop=threading.Event())
ASKED = ReindexProgress(
    generation="g2",
    by="bytes",
    seeded_from="g1",
    asked_at=NOON,
    step_began_at=NOON,
    noted_at=NOON,
)


def projected(embedder: TinyEmbedder, images: Sequence[IndexedImage]) -> list[Projected | None]:
    """What the second model makes of the features that the first generation keeps."""
    packing = Packing(DIMENSIONS, 8)
    return [
        None
        if (row := image.features) is None
        else Projected(embedder.project(packing.unpack(row[None]))[0], row)
        for image in images
    ]


class Both(threading.Event):
    """Both generations' workers, which take a round of turns whenever somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.first = World(max_batch=8)
        self.second: World | None = None
        self.meanwhile: list[Callable[[], None]] = []
        """What happens while somebody waits, one thing at a time."""

    def begin_second(self) -> World:
        """Let a second generation's worker begin at the log's beginning."""
        self.second = World(max_batch=8, beside=self.first)
        return self.second

    def wait(self, timeout: float | None = None) -> bool:
        """Let both workers take a round; never stops."""
        del timeout
        if self.meanwhile:
            self.meanwhile.pop(0)()
        for world in (self.first, self.second):
            if world is not None:
                world.step("round")
        return False

    def run_to_the_end(self) -> None:
        """Let both come to the end of the log."""
        for world in (self.first, self.second):
            if world is not None:
                world.run_to_the_end()

    def read(self, image: IndexedImage) -> bytes:
        """The picture of an image."""
        assert image.object is not None
        return self.first.store.get(image.object.bucket, image.object.key)

    def work(self, remembered: Callable[[], Iterable[Message]] = tuple) -> GenerationWork:
        """What fills the second from the first."""
        assert self.second is not None
        second = self.second
        return GenerationWork(
            old=self.first.index,
            new=second.index,
            images=partial(self.first.index.scan, features=True),
            reproject=partial(projected, second.embedder),
            log=MemoryEventLog(self.first.log.broker),
            groups=SECOND_GROUPS,
            remembered=remembered,
            producer=self.first.log,
            reproduce=self._reproduced,
            optimised=lambda _: True,
            is_filling=lambda: True,
            make_ready=lambda _: None,
            refuse=lambda _: None,
            clock=self.first.clock,
        )

    def _reproduced(self, images: Iterable[IndexedImage]) -> Reproduced:
        assert self.second is not None
        return reproduce(images, read=self.read, decode=tiny_decode, embedder=self.second.embedder)

    def prove(self) -> Parity:
        """Compare the two now."""
        proven = ended(self.work().prove(ASKED, UNPACED, self))
        assert proven is not None
        return proven


@pytest.fixture
def both() -> Both:
    """A first generation with an image of each fate."""
    made = Both()
    first = made.first
    first.publish(public("shown", 1, b"one"), "e1")
    first.publish(public("old", 0, b"two"), "e2", Lane.BACKFILL)
    private = public("private", 1, b"two").model_copy(update={"visibility": Visibility.PRIVATE})
    first.publish(private, "e3")
    first.publish(public("broken", 1, b"bad three"), "e4")
    first.publish(public("gone", 1, b"one"), "e5")
    first.publish(ImageDeleted(image_id="gone", version=2), "e6")
    first.run_to_the_end()
    return made


def live_events(both: Both) -> list[Callable[[], None]]:
    """What people do meanwhile: upload, hide, delete."""
    publish = both.first.publish
    hidden = public("shown", 2, b"one").model_copy(update={"visibility": Visibility.PRIVATE})
    return [
        lambda: publish(public("new", 1, b"two"), "n1"),
        lambda: publish(hidden, "n2"),
        lambda: publish(ImageDeleted(image_id="old", version=1), "n3"),
    ]


def assert_equal(both: Both) -> None:
    """Nothing differs, and the second generation's vectors are its own model's."""
    both.run_to_the_end()
    report = both.prove()
    assert report.passed, report
    assert report.reproduced.pictures > 0
    assert both.second is not None
    for image in both.second.index.scan(vectors=True):
        mine, first = image.vector, both.first.index.get([image.image_id], vectors=True)
        theirs = first[image.image_id].vector
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert not np.allclose(mine, theirs)


def test_by_bytes_the_worker_reads_both_topics_from_the_start(both: Both) -> None:
    """Live uploads, hides and deletes come in between, and nothing is lost."""
    second = both.begin_second()
    both.meanwhile = live_events(both)
    list(both.work().catch_up(both))
    assert_equal(both)
    assert second.embedder.embedded > 0


def test_by_features_nothing_is_embedded(both: Both) -> None:
    """The first generation is read, multiplied, written; only what came meanwhile has pictures."""
    begin_groups(MemoryEventLog(both.first.log.broker), SECOND_GROUPS, seeded_from=FIRST_GROUPS)
    second = both.begin_second()
    *_, last = both.work().seed(UNPACED, both)
    assert (last.done, last.total, last.republished) == (5, 5, 0)
    assert_equal(both)
    assert second.embedder.embedded == 2, "the two pictures of the comparison"


def test_features_of_four_bits_make_vectors_less_near(both: Both) -> None:
    """What they lose does not keep a generation from serving; what bytes would lose does."""
    both.begin_second()
    both.run_to_the_end()
    near = replace(both.work(), reproduce=lambda _: Reproduced(pictures=1, worst_cosine=0.985))
    held = both.first.index.generation
    for bits, by, passes in [(4, "features", True), (8, "features", False), (4, "bytes", False)]:
        held.spec = replace(held.spec, feature_bits=bits)
        proven = ended(near.prove(ASKED.model_copy(update={"by": by}), UNPACED, both))
        assert proven is not None
        assert proven.reproduced.passed is passes, (bits, by)
        assert Parity.model_validate_json(proven.model_dump_json()) == proven


def test_what_has_no_features_comes_again_by_its_bytes(both: Both) -> None:
    """It is published on the backfill lane, and the second generation's worker looks at it."""
    for image in both.first.index.images.values():
        both.first.index.images[image.image_id] = replace(image, features=None)
    second = both.begin_second()
    second.run_to_the_end()
    before = second.embedder.embedded
    second.index.images.clear()
    *_, last = both.work().seed(UNPACED, both)
    assert (last.done, last.republished) == (5, 3)
    assert_equal(both)
    assert second.embedder.embedded > before


def test_what_the_log_forgot_is_published_again(both: Both) -> None:
    """An embedded broker forgets with its process; the journal holds each winner."""
    held = [m for topic in TOPICS.values() for m in both.first.log.records[topic]]
    remembered = list({m.key: m for m in held}.values())
    for topic in TOPICS.values():
        both.first.log.lose(topic)
    both.first.log.forget_offsets()
    both.first.start()
    both.begin_second()
    list(both.work(lambda: remembered).replay(UNPACED, both))
    assert not both.first.log.records[IMAGES.name], "what people upload meanwhile goes first"
    assert len(both.first.log.records[IMAGES_BACKFILL.name]) == len(remembered) == 5
    assert_equal(both)


def test_a_replay_spreads_what_it_looks_for_though_nothing_is_missing(both: Both) -> None:
    """At ten images a second, two hundred are looked for in no less than thirteen seconds."""
    both.begin_second()
    both.run_to_the_end()
    held, clock = list(both.first.log.records[IMAGES.name]), both.first.clock
    before = list(both.first.log.records[IMAGES_BACKFILL.name])

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.advance(timeout or 0.0)
            return False

    began = clock.monotonic()
    pace = Pace(10.0, clock=clock, stop=Stop())
    list(both.work(lambda: (held * 200)[:200]).replay(pace, threading.Event()))
    assert both.first.log.records[IMAGES_BACKFILL.name] == before
    assert 13 <= clock.monotonic() - began <= 20


def test_who_is_told_to_stop_publishes_no_more(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two chunks of what the log forgot, and while nothing of it is missing."""
    held = [m for topic in TOPICS.values() for m in both.first.log.records[topic]]
    for topic in TOPICS.values():
        both.first.log.lose(topic)
    both.begin_second()
    monkeypatch.setattr(work, "_REPLAYED_BYTES", 1)
    read = list[Message]()

    def remembered() -> Iterator[Message]:
        for message in held:
            read.append(message)
            yield message

    stopped = threading.Event()
    stopped.set()
    list(both.work(remembered).replay(UNPACED, stopped))
    assert not both.first.log.records[IMAGES_BACKFILL.name]
    steps = both.work(remembered).replay(UNPACED, stopped := threading.Event())
    next(steps)
    stopped.set()
    list(steps)
    assert len(both.first.log.records[IMAGES_BACKFILL.name]) == 1


def test_what_stays_missing_ends_the_replay(both: Both) -> None:
    """A picture that is dead-lettered comes to no version: it is published twice, not for ever."""
    second = both.begin_second()
    both.run_to_the_end()
    both.first.publish(public("poison", 1, b"poison"), "p1")
    both.first.store.put("pictures", reference(b"poison").key, b"poison")
    both.run_to_the_end()
    assert "poison" not in second.index.images
    held = list(both.first.log.records[IMAGES.name])
    list(both.work(lambda: held).replay(UNPACED, both))
    assert len(both.first.log.records[IMAGES_BACKFILL.name]) == 1 + 2


def test_catching_up_ends_though_more_keeps_coming(both: Both) -> None:
    """What counts is where the log ended at first."""
    second = both.begin_second()
    catching_up = CatchingUp(
        MemoryEventLog(both.first.log.broker),
        SECOND_GROUPS,
    )
    assert catching_up.left() == 6
    second.run_to_the_end()
    both.first.publish(public("later", 1, b"one"), "l1")
    assert catching_up.left() == 0


def test_groups_begin_where_their_generation_needs_them(both: Both) -> None:
    """By features where the other one is, by bytes at the beginning, whatever was there before."""
    log = MemoryEventLog(both.first.log.broker)
    moderation = {IMAGES_MODERATION.name: "g-second-moderation"}
    begin_groups(log, SECOND_GROUPS | moderation, seeded_from=FIRST_GROUPS)
    assert starts(log) == {IMAGES.name: 5, IMAGES_BACKFILL.name: 1, IMAGES_MODERATION.name: 0}
    begin_groups(log, SECOND_GROUPS | moderation, seeded_from=None)
    assert starts(log) == {IMAGES.name: 0, IMAGES_BACKFILL.name: 0, IMAGES_MODERATION.name: 0}


def test_what_was_deleted_unread_is_seen(both: Both) -> None:
    """Below the log's start, or so old that a delete may be gone; not what was read."""
    broker, now = both.first.log.broker, both.first.clock.now()
    log, at = MemoryEventLog(broker), TopicPartition(IMAGES.name, 0)
    begin_groups(log, SECOND_GROUPS, seeded_from=None)
    assert not list(forgotten(log, SECOND_GROUPS, now))
    assert set(forgotten(log, SECOND_GROUPS, now + timedelta(days=31))) == {
        at,
        TopicPartition(IMAGES_BACKFILL.name, 0),
    }
    broker.delete_below(at, 1)
    assert list(forgotten(log, SECOND_GROUPS, now)) == [at]
    assert not list(forgotten(log, FIRST_GROUPS, now + timedelta(days=31))), "it has read all"
    begin_groups(log, SECOND_GROUPS, seeded_from=SECOND_GROUPS)
    assert not list(forgotten(log, SECOND_GROUPS, now)), "told once"
    begin_groups(log, SECOND_GROUPS, seeded_from=None)
    assert starts(log)[IMAGES.name] == 1, "the log's beginning is where it starts"


def starts(log: MemoryEventLog) -> dict[str, int]:
    """Where the second generation's groups begin, by topic."""
    groups = SECOND_GROUPS | {IMAGES_MODERATION.name: "g-second-moderation"}
    return {topic: log.start_offsets(group, topic, [0])[0] for topic, group in groups.items()}
