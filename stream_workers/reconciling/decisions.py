"""The operator's decisions: log and what is kept of them against the index, listed and repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sightline.engine.object_store.entries import Looked
from sightline.engine.ports import EventProducer, VectorIndex
from sightline.engine.records import IndexedDecision, Message, ProducerRecord
from sightline.schemas.envelope import Event
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.topics import IMAGES_MODERATION
from sightline.stream_workers.image_log.decisions import Decisions, decision_order, merge_decisions
from sightline.stream_workers.image_log.winners import keep_higher
from sightline.stream_workers.reconciling.differences import (
    DifferenceKind,
    ImageDifference,
    differences,
    unreadable_record,
)
from sightline.stream_workers.reconciling.reconcile import read_in_parts


@dataclass(slots=True, eq=False, kw_only=True)
class DecisionReconciler:
    """Compares and repairs; safe beside a running loop, whose fence makes repeats harmless.

    Args:
        read_decisions: all records of `images.moderation.v1`, up to now.
        kept: each image with what is kept of its decision beside the log, readable or not.
        settle: waits a moment, so that what is just being applied is not taken for lost.
    """

    read_decisions: Callable[[], Iterable[Message]]
    kept: Callable[[], Iterable[tuple[str, Looked[ImageModerated]]]]
    index: VectorIndex
    producer: EventProducer
    settle: Callable[[], None]
    _winners: dict[str, Event[ImageModerated]] = field(default_factory=dict, init=False)

    def check(self) -> list[ImageDifference]:
        """Compare, and look again at what differs after a moment; name what cannot be read.

        Raises:
            PartUnavailable: broker, store or index did not answer.
        """
        logged = merge_decisions(self.read_decisions())
        self._winners = dict(logged)
        unreadable = []
        for image_id, looked in self.kept():
            if looked.entry is None:
                unreadable.append(unreadable_record(image_id))
            else:
                keep_higher(self._winners, looked.entry.event, decision_order)
        indexed = {decision.image_id: decision for decision in self.index.scan_decisions()}
        return [*self._compared(logged, indexed), *unreadable]

    def _compared(
        self, logged: Decisions, indexed: Mapping[str, IndexedDecision]
    ) -> list[ImageDifference]:
        found = compare_decisions(logged, self._winners, indexed)
        if not found:
            return []
        self.settle()
        ids = {difference.image_id for difference in found}
        winners = {image_id: self._winners[image_id] for image_id in ids & self._winners.keys()}
        return compare_decisions(logged, winners, read_in_parts(self.index.decisions, ids))

    def repair(self, found: Sequence[ImageDifference]) -> None:
        """Publish what the index, or the log, lacks. A repeat does no harm.

        Raises:
            PartUnavailable: broker or index did not answer; repeat.
        """
        by_kind = {
            kind: [one.image_id for one in found if one.kind is kind] for kind in DifferenceKind
        }
        for image_id in by_kind[DifferenceKind.UNDECIDED]:
            self._append(self._winners[image_id])
        unlogged = read_in_parts(self.index.decisions, by_kind[DifferenceKind.UNLOGGED])
        for decision in unlogged.values():
            self._append(decision.event)

    def _append(self, event: Event[ImageModerated]) -> None:
        topic, key = IMAGES_MODERATION.name, event.data.image_id
        self.producer.append(ProducerRecord(topic, key, event.encode())).result()


def compare_decisions(
    logged: Decisions, winners: Decisions, indexed: Mapping[str, IndexedDecision]
) -> list[ImageDifference]:
    """Every image whose decision differs, by id."""
    return differences(
        winners, indexed, lambda image_id, event, held: _kind(logged.get(image_id), event, held)
    )


def _kind(
    logged: Event[ImageModerated] | None,
    event: Event[ImageModerated] | None,
    held: IndexedDecision | None,
) -> DifferenceKind | None:
    if event is not None and (held is None or held.fence < decision_order(event)):
        return DifferenceKind.UNDECIDED
    if held is not None and (logged is None or decision_order(logged) < held.fence):
        return DifferenceKind.UNLOGGED
    return None
