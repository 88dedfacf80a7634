"""The index worker in a world of its own, whose stages take their turns when a test says so."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple

from sightline.engine.clock import ManualClock
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import WorkerSettings
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageState, ImageUploaded, ObjectReference, tie
from sightline.schemas.indexed import Lane, Outcome
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_INDEXED
from sightline.stream_workers.indexing.pipe import PipePorts, PipeSettings, PipeWatch, pipe_of
from tests.worker_parts import (
    SECOND,
    SPEC,
    MemoryConsumer,
    MemoryIndex,
    MemoryLog,
    SecondEmbedder,
    TinyEmbedder,
    tiny_decode,
)

STEPS = (
    *("poll live", "poll backfill", "plan", "fetch", "embed", "apply", "durability", "time"),
    *("round", "crash", "power cut"),
)
CALM = STEPS[:8]
TOPICS = {Lane.LIVE: IMAGES.name, Lane.BACKFILL: IMAGES_BACKFILL.name}
METRICS = Metrics()
"""Of all worlds, as one process has one: to make them anew took a fifth of the time of each."""
PICTURES = (b"one", b"two", b"bad three")

Published = tuple[ImageState, str, Lane]


class Null(NamedTuple):
    """A Kafka null of an image on a lane's topic."""

    image_id: str
    lane: Lane


class World:
    """A worker whose stages take their turns when told to, so that any interleaving can be had.

    Args:
        max_batch: pictures to one forward pass.
        beside: another world, whose log, store and clock this one shares; its index is another
            generation, made by another model on the same features.
    """

    def __init__(self, *, max_batch: int = 2, beside: World | None = None) -> None:
        self.clock: ManualClock = ManualClock() if beside is None else beside.clock
        self.log: MemoryLog = MemoryLog(self.clock) if beside is None else beside.log
        self.store: MemoryObjectStore = (
            MemoryObjectStore("pictures") if beside is None else beside.store
        )
        for data in PICTURES if beside is None else ():
            self.store.put("pictures", reference(data).key, data)
        self.embedder = TinyEmbedder() if beside is None else SecondEmbedder()
        self.index = MemoryIndex(SPEC if beside is None else SECOND)
        self.group = "g" if beside is None else "g-second"
        self._max_batch = max_batch
        self.start()

    def start(self) -> None:
        """Begin with a new worker on what is left of the world."""
        self.pipe = pipe_of(
            PipePorts(
                consumers=lambda lane: MemoryConsumer(self.log, f"{self.group}-{lane}"),
                producer=self.log,
                store=self.store,
                index=self.index,
                embedder=self.embedder,
                decode=tiny_decode,
            ),
            PipeSettings(
                worker=WorkerSettings(max_batch=self._max_batch, dead_letter_limit=3),
                max_bytes=1_000,
                embed_threads=2,
            ),
            PipeWatch(clock=self.clock, metrics=METRICS, health=Health(self.clock)),
        )
        self._turns = {loop.name: loop.turn for loop in self.pipe.loops} | {
            f"poll {lane}": self.pipe.router.turn(poller.turn, list)
            for lane, poller in self.pipe.pollers.items()
        }

    def publish(self, state: ImageState, event_id: str, lane: Lane = Lane.LIVE) -> None:
        """Append the event of a state to its lane's topic."""
        event = Event[ImageState](
            id=event_id,
            source="/test",
            type=state.TYPE,
            subject=state.image_id,
            time=self.clock.now(),
            data=state,
        )
        self.log.append(ProducerRecord(TOPICS[lane], state.image_id, event.encode()))

    def add(self, item: Published | Null) -> None:
        """Publish, or append what reconciling writes of an expired tombstone."""
        if isinstance(item, Null):
            self.log.append(ProducerRecord(TOPICS[item.lane], item.image_id, None))
        else:
            self.publish(*item)

    def step(self, name: str) -> bool:
        """Take one turn of a stage, or let something happen; whether there was anything to do."""
        if name in self._turns:
            return self._turns[name](0.0)
        if name == "round":
            return sum(self.step(step) for step in CALM) > 0
        if name == "time":
            self.clock.advance(1.0)
            return any(self.pipe.room.in_flight(lane) for lane in Lane)
        if name == "power cut":
            self.index.crash()
        self.start()
        return True

    def run_to_the_end(self) -> None:
        """Take turns until nothing is left to do; then everything is committed."""
        for _ in range(1_000):
            if not self.step("round"):
                break
        for lane, topic in TOPICS.items():
            done = [o for (g, p), o in self.log.committed.items() if g == f"{self.group}-{lane}"]
            assert sum(done) == len(self.log.records[topic]), f"{lane} is not committed"
        assert self.pipe.budget.held == 0, "bytes that nobody decodes are held"

    def compacted(self) -> dict[str, Event[ImageState]]:
        """What re-index would read: each topic's last record per key, merged by version and tie."""
        merged: dict[str, Event[ImageState]] = {}
        for topic in TOPICS.values():
            last: dict[bytes | None, Message] = {m.key: m for m in self.log.records[topic]}
            for message in last.values():
                if message.value is None:
                    continue
                event: Event[ImageState] = decode(message.value)
                known = merged.get(event.data.image_id)
                if known is None or fence(known) < fence(event):
                    merged[event.data.image_id] = event
        return merged

    def outcomes(self) -> dict[tuple[str, int], set[Outcome]]:
        """Every outcome that was told of each version."""
        told: dict[tuple[str, int], set[Outcome]] = defaultdict(set)
        for message in self.log.records[IMAGES_INDEXED.name]:
            data = decode(message.value).data
            told[data.image_id, data.version].add(data.outcome)
        return told


def fence(event: Event[ImageState]) -> tuple[int, int]:
    """The order of events of one image (docs/images.md)."""
    return event.data.version, tie(event.data, event.id)


def reference(data: bytes, *, promised: bool = True) -> ObjectReference:
    """Where those bytes lie in the tests' bucket."""
    digest = hashlib.sha256(data).hexdigest()
    return ObjectReference(
        bucket="pictures",
        key=f"images/{digest}",
        size_bytes=len(data),
        sha256=digest if promised else None,
    )


def public(image_id: str, version: int, data: bytes) -> ImageUploaded:
    """Make a public upload of some bytes, stored or not."""
    return ImageUploaded(
        image_id=image_id,
        version=version,
        object=reference(data),
        visibility=Visibility.PUBLIC,
    )
