"""Applied events to committable offsets: acknowledged, repaired, flushed, in that order.

Why commits follow durability: docs/adr/0004.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sightline.engine.errors import Part
from sightline.engine.ports import VectorIndex
from sightline.engine.records import IndexedImage, ProducerRecord
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.offsets import LaneOffsets
from sightline.stream_workers.delivery.outbox import Letter, Outbox
from sightline.stream_workers.image_log.winners import (
    Passed,
    event_of,
    location_of,
    winners_to_relocate,
)
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.task import Polled


class Finished(NamedTuple):
    """One polled record that has had its effect, save for durability."""

    polled: Polled
    passed: Passed | None
    """None: no compaction can lose anything by it, or it was no image event."""
    letter: Letter | None
    """Its outcome event or dead letter."""


class Durability:
    """Gathers what is finished; once an interval makes it durable and its offsets committable.

    Args:
        offsets: of each lane's consumer, where an offset is finished once it is durable.
        awaited: set by whoever waits for that, as a rebalance does; the next round begins at once.
    """

    def __init__(
        self,
        index: VectorIndex,
        outbox: Outbox,
        *,
        offsets: Mapping[Lane, LaneOffsets],
        awaited: threading.Event,
        context: StageContext,
    ) -> None:
        self._index = index
        self._outbox = outbox
        self._offsets = offsets
        self._patience = context.patience
        self._clock = context.clock
        self._metrics = context.metrics
        self._finished: list[Finished] = []
        self._awaited = awaited
        self._round = threading.Lock()
        self._adding = threading.Lock()

    def add(self, finished: Finished) -> None:
        """Take a record whose effect is applied and whose letter is on the way."""
        with self._adding:
            self._finished.append(finished)

    def hurry(self) -> None:
        """Begin the next round now, instead of at the end of the interval."""
        self._awaited.set()

    def turn(self, interval_s: float) -> bool:
        """Wait for one interval, or until hurried, then do one round; returns as `settle` does."""
        self._awaited.wait(interval_s)
        self._awaited.clear()
        return self.settle()

    def settle(self) -> bool:
        """Make everything added so far durable; returns whether there was anything.

        Raises:
            GaveUp: the worker stops while a part is away; what was not settled stays uncommitted.
        """
        with self._round:
            with self._adding:
                batch, self._finished = self._finished, []
            if batch:
                self._settle(batch)
            return bool(batch)

    def _settle(self, batch: Sequence[Finished]) -> None:
        for finished in batch:
            if finished.letter is not None:
                self._outbox.settle(finished.letter)
        self._keep_winners([finished.passed for finished in batch if finished.passed is not None])
        started_s = self._clock.monotonic()
        self._patience.until_it_works(Part.INDEX, self._index.flush)
        self._metrics.flush_seconds.observe(self._clock.monotonic() - started_s)
        for lane, offsets in self._offsets.items():
            ended = [finished.polled for finished in batch if finished.polled.lane is lane]
            offsets.finish((polled.ledger, polled.message.offset) for polled in ended)

    def _keep_winners(self, passed: Sequence[Passed]) -> None:
        """Append again what compaction would drop, and store where winners lie now."""
        if not passed:
            return
        ids = {one.image_id for one in passed}
        stored = self._patience.until_it_works(Part.INDEX, lambda: self._index.get(ids))
        images = winners_to_relocate(passed, stored, self._append_again)
        if images:
            self._patience.until_it_works(Part.INDEX, lambda: self._index.relocate(images))

    def _append_again(self, winner: IndexedImage) -> IndexedImage:
        topic, value = winner.winner.topic, event_of(winner).encode()
        letter = self._outbox.send(ProducerRecord(topic, winner.image_id, value))
        message = self._outbox.settle(letter)
        self._metrics.reappended.labels(topic).inc()
        return replace(winner, winner=location_of(message))
