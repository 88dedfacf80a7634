"""The operator's decisions in log, index and beside them: what one lacks is published again."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.object_store.entries import Entry, Looked
from sightline.engine.records import IndexedDecision, ProducerRecord, WinnerLocation
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Moderation
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.topics import IMAGES_MODERATION
from sightline.stream_workers.image_log.decisions import merge_decisions
from sightline.stream_workers.reconciling.decisions import DecisionReconciler
from sightline.stream_workers.reconciling.differences import DifferenceKind, ImageDifference
from tests.worker_parts import MemoryIndex, MemoryLog

TOPIC = IMAGES_MODERATION.name


class AskedIndex(MemoryIndex):
    """Keeps how many decisions it was asked for at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """See `VectorIndex.decisions`."""
        self.asked.append(len(image_ids))
        return super().decisions(image_ids)


class Decided:
    """A log, an index and what is kept beside them, in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.index = AskedIndex()
        self.kept: list[Event[ImageModerated]] = []
        self.unreadable: list[str] = []
        self.reconciler = DecisionReconciler(
            read_decisions=lambda: self.log.records[TOPIC],
            kept=self._looked,
            index=self.index,
            producer=self.log,
            settle=lambda: None,
        )

    def _looked(self) -> Iterator[tuple[str, Looked[ImageModerated]]]:
        for event in self.kept:
            yield event.data.image_id, Looked(entry=Entry(event=event, etag="e"), etag="e")
        for image_id in self.unreadable:
            yield image_id, Looked(etag="e")

    def event(self, image_id: str, version: int = 1) -> Event[ImageModerated]:
        """A block of this image."""
        said = ImageModerated(
            image_id=image_id, version=version, moderation=Moderation.BLOCKED, decided_by="admin"
        )
        name = f"{image_id}-{version}"
        return Event[ImageModerated].of(said, event_id=name, source="/test", time=self.clock.now())

    def logged(self, image_id: str, version: int = 1) -> None:
        """Let the log have it."""
        event = self.event(image_id, version)
        self.log.append(ProducerRecord(TOPIC, image_id, event.encode())).result()

    def indexed(self, *ids: str, version: int = 1) -> None:
        """Let the index have them."""
        now, at = self.clock.now(), WinnerLocation(TOPIC, 0, 0)
        self.index.moderate(
            [IndexedDecision.of(self.event(i, version), appended=now, winner=at) for i in ids]
        )


@pytest.fixture
def here() -> Decided:
    """Nothing is decided on yet."""
    return Decided()


def test_what_the_index_lacks_is_published_again(here: Decided) -> None:
    """Wherever it is known from: the log, or only what is kept beside it; the higher one counts."""
    here.logged("equal")
    here.indexed("equal")
    here.logged("lost")
    here.logged("older", 1)
    here.logged("older", 3)
    here.indexed("older", version=2)
    here.kept = [here.event("kept", 4), here.event("older", 2), here.event("lost", 2)]
    found = here.reconciler.check()
    assert found == [
        ImageDifference(image_id="kept", kind=DifferenceKind.UNDECIDED, catalogued=4, indexed=None),
        ImageDifference(image_id="lost", kind=DifferenceKind.UNDECIDED, catalogued=2, indexed=None),
        ImageDifference(image_id="older", kind=DifferenceKind.UNDECIDED, catalogued=3, indexed=2),
    ]
    before = len(here.log.records[TOPIC])
    here.reconciler.repair(found)
    again = merge_decisions(here.log.records[TOPIC][before:])
    assert {i: e.id for i, e in again.items()} == {
        "kept": "kept-4",
        "lost": "lost-2",
        "older": "older-3",
    }


def test_what_the_log_lacks_is_published_from_the_index(here: Decided) -> None:
    """Also where the log has a lower one, and where what is kept has the same."""
    here.indexed("gone", "kept")
    here.kept = [here.event("kept")]
    here.logged("newer", 1)
    here.indexed("newer", version=2)
    found = here.reconciler.check()
    assert [(d.image_id, d.kind, d.catalogued, d.indexed) for d in found] == [
        ("gone", DifferenceKind.UNLOGGED, None, 1),
        ("kept", DifferenceKind.UNLOGGED, 1, 1),
        ("newer", DifferenceKind.UNLOGGED, 1, 2),
    ]
    here.reconciler.repair(found)
    logged = merge_decisions(here.log.records[TOPIC])
    assert {i: e.id for i, e in logged.items()} == {
        "gone": "gone-1",
        "kept": "kept-1",
        "newer": "newer-2",
    }
    assert here.reconciler.check() == []


def test_the_index_is_asked_for_some_hundred_at_a_time(here: Decided) -> None:
    """Neither for each by itself, nor for all that differ in one request."""
    here.indexed(*(f"i{number}" for number in range(1_200)))
    found = here.reconciler.check()
    assert len(found) == 1_200
    assert here.index.asked == [500, 500, 200]
    here.index.asked.clear()
    here.reconciler.repair(found)
    assert here.index.asked == [500, 500, 200]
    assert len(here.log.records[TOPIC]) == 1_200


def test_a_decision_that_cannot_be_read_is_told(here: Decided) -> None:
    """Beside what differs, and also where nothing does; a repair mends the others."""
    here.unreadable = ["damaged"]
    told = ImageDifference(
        image_id="damaged", kind=DifferenceKind.UNREADABLE, catalogued=None, indexed=None
    )
    assert here.reconciler.check() == [told]
    here.kept = [here.event("kept")]
    found = here.reconciler.check()
    assert [one.image_id for one in found] == ["kept", "damaged"]
    here.reconciler.repair(found)
    assert [message.key_text for message in here.log.records[TOPIC]] == ["kept"]
