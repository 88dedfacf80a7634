"""Reconciling: every way in which catalogue and index can differ is found and mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sightline.engine.object_store.entries import Entry, Looked
from sightline.engine.records import ImageStage
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageDeleted, ImageState
from sightline.schemas.indexed import Lane, Outcome
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL
from sightline.stream_workers.reconciling.differences import DifferenceKind, Report
from sightline.stream_workers.reconciling.reconcile import Reconciler, purge_expired
from tests.indexed_images import NOON, SPEC, Kind, image
from tests.worker_world import World, public


class Reconciled:
    """A world with a reconciler beside its worker."""

    def __init__(self) -> None:
        self.world = World(max_batch=8)
        self.unpublished: list[Event[ImageState]] = []
        self.unreadable: list[str] = []
        self.forgotten: list[str] = []
        self.reconciler = Reconciler(
            read_images=lambda: [
                *self.world.log.records[IMAGES.name],
                *self.world.log.records[IMAGES_BACKFILL.name],
            ],
            index=self.world.index,
            producer=self.world.log,
            kept=self.kept,
            finish=self.finish,
            forget=self.forgotten.append,
            settle=lambda: None,
            clock=self.world.clock,
        )

    def kept(self) -> Iterator[tuple[str, Looked[ImageState]]]:
        """What the catalogue holds."""
        for event in self.unpublished:
            yield event.data.image_id, Looked(entry=Entry(event=event), etag="e")
        for image_id in self.unreadable:
            yield image_id, Looked(etag="e")

    def finish(self, image_id: str) -> None:
        """As the catalogue does."""
        [event] = [event for event in self.unpublished if event.data.image_id == image_id]
        self.unpublished.remove(event)
        self.world.publish(event.data, event.id)

    def check(self) -> Report:
        """What differs now."""
        return self.reconciler.check()

    def kinds(self) -> dict[str, DifferenceKind]:
        """What differs now, by image."""
        return {d.image_id: d.kind for d in self.check().differences}

    def mend(self) -> None:
        """Repair, let the worker work, and find nothing any more."""
        self.reconciler.repair(self.check())
        self.world.run_to_the_end()
        assert self.kinds() == {}


@pytest.fixture
def here() -> Reconciled:
    """Two images, indexed, nothing differs."""
    made = Reconciled()
    made.world.publish(public("a", 3, b"one"), "a3")
    made.world.publish(public("b", 0, b"two"), "b0", Lane.BACKFILL)
    made.world.run_to_the_end()
    assert made.kinds() == {}
    return made


def test_what_the_index_lost_is_published_again(here: Reconciled) -> None:
    """Missing: the winner's event, and only that image's."""
    del here.world.index.images["b"]
    assert here.kinds() == {"b": DifferenceKind.MISSING}
    here.mend()
    assert here.world.index.count(listed_only=True) == 2


def test_what_the_index_has_only_an_older_version_of_is_stale(here: Reconciled) -> None:
    """An index restored from an old backup."""
    old = here.world.index.images["a"]
    here.world.publish(public("a", 4, b"two"), "a4")
    here.world.run_to_the_end()
    here.world.index.images["a"] = old
    assert here.kinds() == {"a": DifferenceKind.STALE}
    here.mend()
    assert here.world.index.images["a"].version == 4


def test_what_stopped_half_way_is_finished(here: Reconciled) -> None:
    """A provisional state that no delivery will finish any more."""
    stored = here.world.index.images["a"]
    here.world.index.images["a"] = replace(stored, stage=ImageStage.PROVISIONAL, vector=None)
    assert here.kinds() == {"a": DifferenceKind.STALE}
    here.mend()
    assert here.world.index.images["a"].listed


def test_what_the_log_lost_is_published_from_the_index(here: Reconciled) -> None:
    """Extra: no event explains it, so its own is appended again; nothing is thrown away."""
    here.world.log.lose(IMAGES.name)
    here.world.log.forget_offsets()
    here.world.start()
    assert here.kinds() == {"a": DifferenceKind.EXTRA}
    here.mend()
    assert here.world.compacted()["a"].id == "a3"


def test_what_a_crash_kept_from_the_log_is_published(here: Reconciled) -> None:
    """Unpublished entries of the catalogue."""
    state = public("c", 1, b"one")
    event = Event[ImageState].of(state, event_id="c1", source="/test", time=here.world.clock.now())
    here.unpublished.append(event)
    assert here.kinds() == {"c": DifferenceKind.UNPUBLISHED}
    here.mend()
    assert here.world.index.images["c"].listed


def test_an_expired_tombstone_is_purged_and_nulled(here: Reconciled) -> None:
    """30 days after a delete: no point in the index, a null on both topics; not a day before."""
    here.world.publish(ImageDeleted(image_id="a", version=9), "a9")
    here.world.run_to_the_end()
    here.world.clock.advance(timedelta(days=29).total_seconds())
    assert here.kinds() == {}
    here.world.clock.advance(timedelta(days=2).total_seconds())
    assert here.kinds() == {"a": DifferenceKind.EXPIRED}
    here.reconciler.repair(here.check())
    here.world.run_to_the_end()
    assert "a" not in here.world.index.images
    assert here.forgotten == ["a"]
    for topic in (IMAGES, IMAGES_BACKFILL):
        assert here.world.log.records[topic.name][-1].value is None
    assert here.kinds() == {}, "compaction has not run: the delete still lies before the null"


def test_tombstones_past_their_retention_go_from_any_generation() -> None:
    """After 30 days, and nothing else does."""
    index = MemoryVectorIndex(SPEC)
    index.apply([image("gone", kind=Kind.DELETED), image("there")])
    assert purge_expired(index, NOON + timedelta(days=29)) == 0
    assert purge_expired(index, NOON + timedelta(days=31)) == 1
    assert set(index.get({"gone", "there"})) == {"there"}


def test_an_image_that_came_back_is_not_nulled(here: Reconciled) -> None:
    """Uploaded again between the check and the repair."""
    here.world.publish(ImageDeleted(image_id="a", version=9), "a9")
    here.world.run_to_the_end()
    here.world.clock.advance(timedelta(days=31).total_seconds())
    report = here.check()
    here.world.publish(public("a", 10, b"one"), "a10")
    here.world.run_to_the_end()
    here.reconciler.repair(report)
    assert here.world.index.images["a"].version == 10
    assert here.world.log.records[IMAGES.name][-1].value is not None


def test_a_tombstone_stays_where_older_uploads_may_still_be_read(here: Reconciled) -> None:
    """In an index made anew from an old log: the delete is read before the upload it deletes."""
    world = here.world
    world.publish(ImageDeleted(image_id="b", version=9), "b9")
    world.run_to_the_end()
    world.clock.advance(timedelta(days=31).total_seconds())
    world.index.images.clear()
    world.log.forget_offsets()
    world.start()
    for step in ("poll live", "plan", "apply", "durability"):
        world.step(step)
    assert "b" not in here.kinds(), "its upload waits on the backfill topic"
    here.reconciler.repair(here.check())
    world.run_to_the_end()
    assert world.index.images["b"].outcome is Outcome.DELETED
    assert here.kinds() == {}
    world.clock.advance(timedelta(days=31).total_seconds())
    assert here.kinds() == {"b": DifferenceKind.EXPIRED}


def test_what_cannot_be_read_is_told_and_left(here: Reconciled) -> None:
    """A repair mends the others, and counts only them."""
    here.unreadable.append("damaged")
    del here.world.index.images["b"]
    report = here.check()
    assert [(d.image_id, d.kind) for d in report.differences] == [
        ("b", DifferenceKind.MISSING),
        ("damaged", DifferenceKind.UNREADABLE),
    ]
    assert here.reconciler.repair(report) == 1
    here.world.run_to_the_end()
    assert here.kinds() == {"damaged": DifferenceKind.UNREADABLE}


def test_log_and_index_are_compared_without_the_catalogue(here: Reconciled) -> None:
    """As the sweep does: nothing of what is kept is read."""
    here.unreadable.append("damaged")
    del here.world.index.images["b"]
    found = here.reconciler.compared().differences
    assert [(d.image_id, d.kind) for d in found] == [("b", DifferenceKind.MISSING)]
