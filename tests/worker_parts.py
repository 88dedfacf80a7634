"""The worker's world in memory: log, store, an index that can crash, a tiny embedder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sightline.engine.errors import (
    BadImage,
    RejectReason,
)
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.consumer import MemoryEventConsumer
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.ports import Clock, RebalanceListener
from sightline.engine.records import (
    GenerationSpec,
    IndexedImage,
    Message,
    TopicPartition,
)
from sightline.engine.records.framing import Framing
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.schemas.topics import TOPICS

DIMENSIONS = 8
SIZE = 4
SPEC = GenerationSpec(
    name="g1",
    model_digest="tiny",
    preprocess_digest="tiny",
    dimensions=DIMENSIONS,
    features_digest="tiny features",
    features=DIMENSIONS,
    feature_bits=8,
)


SECOND = replace(SPEC, name="g2", model_digest="tiny two")
"""Another model's generation, on the same features."""


class MemoryLog(MemoryEventProducer):
    """Topics of one partition in memory, and what appends to them; a poll never waits."""

    def __init__(self, clock: Clock) -> None:
        self.broker = MemoryBroker(partitions=1, clock=clock, polls_wait=False)
        super().__init__(self.broker)
        self.members: dict[str, MemoryEventConsumer] = {}

    @property
    def records(self) -> dict[str, list[Message]]:
        """What lies in each topic now."""
        return {topic.name: self.broker.records(topic.name) for topic in TOPICS}

    @property
    def committed(self) -> dict[tuple[str, TopicPartition], int]:
        """By group and partition."""
        return {
            (name, at): offset
            for name, group in self.broker.groups.items()
            for at, offset in group.committed.items()
        }

    def forget_offsets(self) -> None:
        """Let every group begin anew."""
        for group in self.broker.groups.values():
            group.committed.clear()

    def lose(self, topic: str) -> None:
        """Forget a topic's records, and that it ever had any."""
        for at in self.broker.partitions(topic):
            partition = self.broker.partition(at)
            partition.records, partition.start, partition.end = [], 0, 0


class MemoryConsumer(MemoryEventConsumer):
    """The only member of its group: whoever was it before has died."""

    def __init__(self, log: MemoryLog, group: str) -> None:
        super().__init__(log.broker, group=group)
        earlier = log.members.get(group)
        if earlier is not None:
            earlier.expire()
        log.members[group] = self

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `EventConsumer.subscribe`; the partitions are there at once."""
        super().subscribe(topics, listener)
        self.poll(0, 0.0)


class MemoryIndex(MemoryVectorIndex):
    """An index of tiny vectors that tells what it holds."""

    def __init__(self, spec: GenerationSpec = SPEC) -> None:
        super().__init__(spec)

    @property
    def images(self) -> dict[str, IndexedImage]:
        """What was applied, by image, without the operator's decisions."""
        return self.generation.images


_ODD = np.resize(np.frombuffer(b"odd", np.uint8), (SIZE, SIZE, 3))
"""A picture that no file of the tests has, white and black ones included."""


class TinyEmbedder:
    """A vector from the crop's own bytes, too long of an odd one; counts what it was asked for."""

    digest = SPEC.model_digest
    features_digest = "tiny features"
    feature_count = DIMENSIONS
    dimensions = DIMENSIONS
    framing = Framing(SIZE)
    runtime = "tiny"
    batched = True

    def __init__(self) -> None:
        self.embedded = 0

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embedder.features`."""
        self.embedded += len(crops)
        return _features(crops)

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Embedder.project`."""
        unit: NDArray[np.float32] = features / np.linalg.norm(features, axis=1, keepdims=True)
        unit[(features == _features(_ODD[None])).all(axis=1)] *= 2
        return unit

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        return self.project(self.features(crops))


def _features(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    return crops.reshape(len(crops), -1)[:, :DIMENSIONS].astype(np.float32) + np.float32(1)


class SecondEmbedder(TinyEmbedder):
    """The same network with another projection."""

    digest = SECOND.model_digest

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Embedder.project`."""
        return super().project(features * np.linspace(0.1, 2.0, DIMENSIONS, dtype=np.float32))


@dataclass(frozen=True)
class TinyPicture:
    """What `tiny_decode` gives."""

    crop: NDArray[np.uint8]
    perceptual_hash: str
    width: int = SIZE
    height: int = SIZE
    colours: str = "none"


def tiny_decode(data: bytes) -> TinyPicture:
    """A crop from the bytes' hash; `bad` bytes are no picture, `odd` ones an odd one."""
    if data.startswith(b"bad"):
        raise BadImage(RejectReason.CORRUPT, "the picture's data is damaged: send it again")
    if data.startswith(b"poison"):
        raise ZeroDivisionError("poison")
    digest = hashlib.sha512(data).digest()[: SIZE * SIZE * 3]
    pixels = np.frombuffer(digest, np.uint8).reshape(SIZE, SIZE, 3)
    if data.startswith(b"odd"):
        pixels = _ODD
    return TinyPicture(pixels, hashlib.sha256(data).hexdigest())
