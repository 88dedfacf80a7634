"""The steps by which one generation is filled and proven, on the parts of a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sightline.engine.pacing import Pace
from sightline.engine.ports import Clock, EventLog, EventProducer, VectorIndex
from sightline.engine.records import IndexedImage, Message, ProducerRecord
from sightline.engine.stopping import until
from sightline.schemas.topics import IMAGES_BACKFILL
from sightline.stream_workers.image_log.winners import event_of
from sightline.stream_workers.reindexing.catching_up import CatchingUp
from sightline.stream_workers.reindexing.parity import Parity, Reproduced, least_cosine
from sightline.stream_workers.reindexing.progress import ReindexProgress
from sightline.stream_workers.reindexing.proving import prove
from sightline.stream_workers.reindexing.reindexing import Done
from sightline.stream_workers.reindexing.replay import missing_from
from sightline.stream_workers.reindexing.seed import Reproject, Seeding

_FLUSH_EVERY = 5_000
"""Images between two flushes: bounds what an embedded index replays at its next start."""
_REPLAYED_BYTES = 1_048_576
"""So much is published before the workers have to have read it: an embedded broker keeps five times
that of a partition, and loses the oldest beyond."""
_LOOK_EVERY_S = 0.5
_SETTLE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class GenerationWork:
    """See `FillingWork`; a value that names what each step needs."""

    old: VectorIndex
    new: VectorIndex
    images: Callable[[], Iterable[IndexedImage]]
    """Scans the old generation, with the features that it keeps."""
    reproject: Reproject
    log: EventLog
    groups: Mapping[str, str]
    """The new generation's consumer group of each topic."""
    remembered: Callable[[], Iterable[Message]]
    """Every event that the log may have forgotten; none where it forgets nothing."""
    producer: EventProducer
    """Appends what the workers must see again."""
    reproduce: Callable[[Iterable[IndexedImage]], Reproduced]
    optimised: Callable[[float], bool]
    """Whether the new generation's graph is built, or was within so many seconds."""
    is_filling: Callable[[], bool]
    make_ready: Callable[[Parity], None]
    refuse: Callable[[Parity], None]
    clock: Clock
    settle_s: float = field(default=_SETTLE_S)

    def seed(self, pace: Pace, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.seed`."""
        del stop  # the pace ends by it
        seeding = Seeding(
            self.old,
            self.new,
            images=self.images,
            reproject=self.reproject,
            publish=self._publish_image,
            pace=pace,
            clock=self.clock,
        )
        total, flushed = self.old.count(), 0
        for seeded in seeding.steps():
            if seeded.written - flushed >= _FLUSH_EVERY:
                self.new.flush()
                flushed = seeded.written
            yield Done(seeded.looked_at, max(total, seeded.looked_at), seeded.without_features)
        self.new.flush()

    def replay(self, pace: Pace, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.replay`; ends once nothing is missing, or what is missing stays so."""
        before = 0
        while not stop.is_set():
            published = 0
            missing = missing_from(self.new, lambda: until(stop, self.remembered()), pace)
            for records in until(stop, _in_chunks(missing)):
                self._append(records)
                published += len(records)
                for _ in self.catch_up(stop):
                    yield self._counted()
            if published in {0, before}:
                return
            before = published

    def catch_up(self, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.catch_up`."""
        catching_up = CatchingUp(self.log, self.groups)
        while catching_up.left() and not stop.wait(_LOOK_EVERY_S):
            yield self._counted()

    def optimise(self, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.optimise`."""
        while not self.optimised(_LOOK_EVERY_S) and not stop.is_set():
            yield self._counted()

    def prove(
        self, asked: ReindexProgress, pace: Pace, stop: threading.Event
    ) -> Generator[Done, None, Parity | None]:
        """See `FillingWork.prove`."""
        return prove(
            self.old,
            self.new,
            settle=lambda: stop.wait(self.settle_s),
            reproduce=self.reproduce,
            least_cosine=least_cosine(
                self.old.spec.feature_bits if asked.by == "features" else None
            ),
            pace=pace,
            clock=self.clock,
            stop=stop,
        )

    def _counted(self) -> Done:
        done, total = self.new.count(), self.old.count()
        return Done(min(done, total), total)

    def _publish_image(self, image: IndexedImage) -> None:
        self._append(
            [ProducerRecord(IMAGES_BACKFILL.name, image.image_id, event_of(image).encode())]
        )

    def _append(self, records: Iterable[ProducerRecord]) -> None:
        """Append, and wait until the log has all of it. Raises `PartUnavailable`."""
        for acknowledged in [self.producer.append(record) for record in records]:
            acknowledged.result()


def _in_chunks(records: Iterable[ProducerRecord]) -> Iterator[list[ProducerRecord]]:
    chunk: list[ProducerRecord] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record.value or b"")
        if size >= _REPLAYED_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
