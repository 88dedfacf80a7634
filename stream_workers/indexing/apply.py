"""Decided events to the index, in batches; then what became of each is read back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from weakref import WeakKeyDictionary

from sightline.engine.errors import Part
from sightline.engine.ports import VectorIndex
from sightline.engine.records import ImageStage, IndexedImage
from sightline.schemas.images import ImageDeleted
from sightline.schemas.indexed import Outcome, StageTimes
from sightline.stream_workers.indexing.clusters import Clusters
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.decisions import Standing, final_outcome, standing
from sightline.stream_workers.indexing.moves import Again, Applied, End, Hide, Move, Write
from sightline.stream_workers.indexing.task import ImageTask, Judged, PictureFacts, Rejection


class Applier:
    """Writes what hides and what is final in one batch; run it in one thread.

    Args:
        clusters: says which look-alikes a picture that is written belongs to.
        again_s: seconds until an event is planned again that another write overtook.
    """

    def __init__(
        self, index: VectorIndex, *, clusters: Clusters, again_s: float, context: StageContext
    ) -> None:
        self._index = index
        self._clusters = clusters
        self._again_s = again_s
        self._patience = context.patience
        self._clock = context.clock
        self._metrics = context.metrics
        self._hidden: WeakKeyDictionary[ImageTask, datetime] = WeakKeyDictionary()
        """When a task's provisional write took its image out of the results."""

    def apply(self, writes: Sequence[Hide | Write]) -> list[Move]:
        """Return how each final write ended; a provisional one goes on elsewhere meanwhile."""
        self._write(writes)
        searchable = self._clock.now()
        final = []
        for write in writes:
            if isinstance(write, Hide):
                self._hidden.setdefault(write.task, searchable)
            else:
                final.append(write)
        return self._settle(final, searchable)

    def _write(self, writes: Sequence[Hide | Write]) -> None:
        now = self._clock.now()
        wanted = [each for write in writes if (each := _wanted(write)) is not None]
        if not wanted:
            return
        decided = self._clusters.decide([known for known, _ in wanted])
        images = [
            _indexed(known, stage, now) for known, (_, stage) in zip(decided, wanted, strict=True)
        ]
        started_s = self._clock.monotonic()
        self._patience.until_it_works(Part.INDEX, lambda: self._index.apply(images))
        self._metrics.apply_seconds.observe(self._clock.monotonic() - started_s)

    def _settle(self, writes: Sequence[Write], searchable: datetime) -> list[Move]:
        if not writes:
            return []
        ids = {write.judged.task.image_id for write in writes}
        stored = self._patience.until_it_works(Part.INDEX, lambda: self._index.get(ids))
        return [self._end(w, stored.get(w.judged.task.image_id), searchable) for w in writes]

    def _end(self, write: Write, stored: IndexedImage | None, searchable: datetime) -> Move:
        known = write.judged
        stands = standing(known.task, stored)
        if stands is Standing.MISSING or stored is None:
            # another write won; the index may show it in a moment
            return Again(known, self._again_s)
        if stands is Standing.LOST:
            applied = Applied(known, Outcome.SUPERSEDED, stored, _times(known))
        elif write.settled:
            times = _times_of_repeat(known.task, stored)
            applied = Applied(known, stored.outcome, stored, times, repeated=True)
        else:
            if (
                stored.outcome is Outcome.HIDDEN
            ):  # no query returns it from the provisional write on
                searchable = self._hidden.get(known.task, searchable)
            applied = Applied(known, stored.outcome, stored, _times(known, searchable))
        return End(known.task, applied)


def _wanted(write: Hide | Write) -> tuple[Judged, ImageStage] | None:
    """Return what to write; None: nothing, as the index is past it or its verdict is not known."""
    if isinstance(write, Hide):
        return Judged(write.task), ImageStage.PROVISIONAL
    known = write.judged
    decided = known.verdict is not None or isinstance(known.task.state, ImageDeleted)
    return None if write.settled or not decided else (known, ImageStage.FINAL)


def _indexed(known: Judged, stage: ImageStage, applied: datetime) -> IndexedImage:
    task = known.task
    facts = known.verdict if isinstance(known.verdict, PictureFacts) else None
    no = known.verdict if isinstance(known.verdict, Rejection) else None
    return IndexedImage(
        state=task.state,
        event_id=task.event.id,
        event_source=task.event.source,
        tie=task.fence.tie,
        stage=stage,
        outcome=Outcome.HIDDEN if stage is ImageStage.PROVISIONAL else final_outcome(known),
        occurred=task.event.time,
        appended=task.polled.message.timestamp,
        applied=applied,
        winner=task.polled.location,
        reason=no.reason if no else None,
        message=no.message if no else None,
        content_sha256=facts.content_sha256 if facts else None,
        perceptual_hash=facts.perceptual_hash if facts else None,
        width=facts.width if facts else None,
        height=facts.height if facts else None,
        cluster=facts.cluster if facts else None,
        since=(facts.since or task.polled.message.timestamp) if facts else None,
        vector=facts.vector if facts else None,
        features=facts.features if facts else None,
    )


def _times(known: Judged, searchable: datetime | None = None) -> StageTimes:
    return StageTimes(
        occurred=known.task.event.time,
        appended=known.task.polled.message.timestamp,
        consumed=known.task.polled.consumed,
        fetched=known.fetched.at if known.fetched else None,
        embedded=known.embedded,
        searchable=searchable,
    )


def _times_of_repeat(task: ImageTask, stored: IndexedImage) -> StageTimes:
    """Return the stage times of an event that had been applied before this delivery of it."""
    return StageTimes(
        occurred=stored.occurred,
        appended=stored.appended,
        consumed=min(task.polled.consumed, stored.applied),
        searchable=stored.applied,
    )
