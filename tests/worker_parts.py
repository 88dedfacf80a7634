"""The worker's world in memory: log, store, an index that can crash, a tiny embedder."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from sightline.engine.errors import (
    BadImage,
    Conflict,
    ObjectMissing,
    Part,
    PartUnavailable,
    RejectReason,
    TooLarge,
)
from sightline.engine.ports import Clock, RebalanceListener
from sightline.engine.records import (
    GenerationSpec,
    Hit,
    IndexedDecision,
    IndexedImage,
    Message,
    SearchRequest,
    Sight,
    StoredObject,
    TagFilter,
    TopicPartition,
)

DIMENSIONS = 8
SIZE = 4
SPEC = GenerationSpec(
    name="g1", model_digest="tiny", preprocess_digest="tiny", dimensions=DIMENSIONS
)


class MemoryLog:
    """Topics of one partition; an `EventProducer` whose messages are acknowledged at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.records: dict[str, list[Message]] = defaultdict(list)
        self.committed: dict[tuple[str, TopicPartition], int] = {}

    def append(
        self,
        topic: str,
        key: str,
        value: bytes | None,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp: datetime | None = None,
        partition: int | None = None,
    ) -> Future[Message]:
        """See `EventProducer.append`."""
        message = Message(
            topic=topic,
            partition=partition or 0,
            offset=len(self.records[topic]),
            key=key.encode(),
            value=value,
            timestamp=timestamp or self._clock.now(),
            headers=tuple(headers),
        )
        self.records[topic].append(message)
        done: Future[Message] = Future()
        done.set_result(message)
        return done

    def flush(self, timeout_s: float) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to let go."""


class MemoryConsumer:
    """The only member of its group, from what was committed."""

    def __init__(self, log: MemoryLog, group: str) -> None:
        self._log = log
        self._group = group
        self._at: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `EventConsumer.subscribe`."""
        for topic in topics:
            place = TopicPartition(topic, 0)
            self._at[place] = self._log.committed.get((self._group, place), 0)
        listener.assigned(list(self._at))

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """See `EventConsumer.poll`; never waits."""
        del timeout_s
        for place, offset in self._at.items():
            if place not in self._paused:
                found = self._log.records[place.topic][offset : offset + max_messages]
                self._at[place] += len(found)
                return found
        return []

    def ask(self) -> None:
        """See `EventConsumer.ask`."""

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """See `EventConsumer.pause`."""
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """See `EventConsumer.resume`."""
        self._paused -= set(partitions)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `EventConsumer.commit`."""
        for place, offset in offsets.items():
            self._log.committed[self._group, place] = offset

    def lag(self) -> dict[TopicPartition, int]:
        """See `EventConsumer.lag`."""
        return {p: len(self._log.records[p.topic]) - at for p, at in self._at.items()}

    def close(self) -> None:
        """Nothing to let go."""


class MemoryStore:
    """Objects by bucket and key; `down` makes every read fail as a store that is away does."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.down = False
        self.reads = 0

    def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream"
    ) -> StoredObject:
        """See `ObjectStore.put`."""
        self.objects[bucket, key] = data
        return StoredObject(
            bucket=bucket,
            key=key,
            size_bytes=len(data),
            etag=hashlib.sha256(data).hexdigest(),
            content_type=content_type,
        )

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """See `ObjectStore.get`."""
        self.reads += 1
        if self.down:
            raise PartUnavailable(Part.STORE, "switched off")
        data = self.objects.get((bucket, key))
        if data is None:
            raise ObjectMissing(f"{bucket}/{key}")
        if max_bytes is not None and len(data) > max_bytes:
            raise TooLarge(f"{bucket}/{key}")
        return data

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """See `ObjectStore.put_if`."""
        stored = self.objects.get((bucket, key))
        if expected_etag != (None if stored is None else hashlib.sha256(stored).hexdigest()):
            raise Conflict(f"{bucket}/{key}")
        return self.put(bucket, key, data)

    def stat(self, bucket: str, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        return self.put(bucket, key, self.get(bucket, key))

    def delete(self, bucket: str, key: str) -> None:
        """See `ObjectStore.delete`."""
        self.objects.pop((bucket, key), None)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.list`."""
        for place, key in sorted(self.objects):
            if place == bucket and key.startswith(prefix) and key > start_after:
                yield self.stat(bucket, key)

    def ensure_bucket(self, bucket: str) -> None:
        """Every bucket is there."""

    def close(self) -> None:
        """Nothing to let go."""


class MemoryIndex:
    """A `VectorIndex` in a dictionary; `crash` forgets what was not flushed."""

    def __init__(self) -> None:
        self.images: dict[str, IndexedImage] = {}
        self.decided: dict[str, IndexedDecision] = {}
        self._durable: tuple[dict[str, IndexedImage], dict[str, IndexedDecision]] = ({}, {})
        self.spec = SPEC

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.apply`."""
        for image in images:
            stored = self.images.get(image.image_id)
            if stored is None or stored.fence < image.fence:
                self.images[image.image_id] = replace(image, decision=None)

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.moderate`."""
        for decision in decisions:
            stored = self.decided.get(decision.image_id)
            if stored is None or stored.fence < decision.fence:
                self.decided[decision.image_id] = decision

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.relocate_decisions`."""
        for decision in decisions:
            stored = self.decided.get(decision.image_id)
            if stored is not None and stored.fence == decision.fence:
                self.decided[decision.image_id] = replace(
                    stored, winner=decision.winner, appended=decision.appended
                )

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """See `VectorIndex.decisions`."""
        return {i: self.decided[i] for i in image_ids if i in self.decided}

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """See `VectorIndex.scan_decisions`."""
        del batch
        yield from list(self.decided.values())

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.relocate`."""
        for image in images:
            stored = self.images.get(image.image_id)
            if stored is not None and stored.fence == image.fence:
                self.images[image.image_id] = replace(stored, winner=image.winner)

    def get(
        self, image_ids: Collection[str], *, vectors: bool = False, sight: Sight | None = None
    ) -> dict[str, IndexedImage]:
        """See `VectorIndex.get`."""
        stored = {i: self._whole(i) for i in image_ids if i in self.images}
        found = {i: m for i, m in stored.items() if sight is None or sight.shows(m)}
        return found if vectors else {i: replace(m, vector=None) for i, m in found.items()}

    def search(self, request: SearchRequest) -> list[Hit]:
        """See `VectorIndex.search`; ignores tags."""
        hits = [
            Hit(image=image, score=float(image.vector @ request.vector))
            for image in map(self._whole, self.images)
            if image.listed and image.vector is not None
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.image.image_id))[: request.limit]

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """See `VectorIndex.earliest`: nobody asks for it here."""
        raise NotImplementedError

    def scan(self, *, vectors: bool = False, batch: int = 1_000) -> Iterator[IndexedImage]:
        """See `VectorIndex.scan`."""
        del batch
        yield from self.get(list(self.images), vectors=vectors).values()

    def count(self, *, listed_only: bool = False) -> int:
        """See `VectorIndex.count`."""
        return sum(self._whole(i).listed or not listed_only for i in self.images)

    def purge(self, image_ids: Collection[str]) -> None:
        """See `VectorIndex.purge`."""
        for image_id in image_ids:
            self.images.pop(image_id, None)

    def flush(self) -> None:
        """See `VectorIndex.flush`."""
        self._durable = dict(self.images), dict(self.decided)

    def crash(self) -> None:
        """Come back with what was flushed."""
        images, decided = self._durable
        self.images, self.decided = dict(images), dict(decided)

    def _whole(self, image_id: str) -> IndexedImage:
        return replace(self.images[image_id], decision=self.decided.get(image_id))

    def close(self) -> None:
        """Nothing to let go."""


class TinyEmbedder:
    """A vector from the crop's own bytes, counting what it was asked for."""

    digest = SPEC.model_digest
    dimensions = DIMENSIONS
    input_size = SIZE
    runtime = "tiny"
    batched = True

    def __init__(self) -> None:
        self.embedded = 0

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        self.embedded += len(crops)
        rows = crops.reshape(len(crops), -1)[:, :DIMENSIONS].astype(np.float32) + 1.0
        unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


@dataclass(frozen=True)
class TinyPicture:
    """What `tiny_decode` gives."""

    crop: NDArray[np.uint8]
    perceptual_hash: str
    width: int = SIZE
    height: int = SIZE
    colours: str = "none"


def tiny_decode(data: bytes) -> TinyPicture:
    """A crop from the bytes' hash; bytes that begin with `bad` are no picture."""
    if data.startswith(b"bad"):
        raise BadImage(RejectReason.CORRUPT, "the picture's data is damaged: send it again")
    if data.startswith(b"poison"):
        raise ZeroDivisionError("poison")
    digest = hashlib.sha512(data).digest()[: SIZE * SIZE * 3]
    pixels = np.frombuffer(digest, np.uint8).reshape(SIZE, SIZE, 3)
    return TinyPicture(pixels, hashlib.sha256(data).hexdigest())
