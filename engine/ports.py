"""The ports: what the rooms need of the world. One vendor per adapter, one contract suite per port.

Adapters: `event_log/kafka/` (confluent-kafka), `object_store/s3.py` (minio),
`object_store/directory.py`, `vector_index/edge/` and `vector_index/qdrant/` (qdrant), `embedding/`
(torch, OpenVINO); and in memory `event_log/memory/`, `object_store/memory.py` and
`vector_index/memory/`. All are safe to call from several threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from sightline.engine.records import (
    GenerationSpec,
    Hit,
    IndexedDecision,
    IndexedImage,
    Message,
    Nearby,
    PartitionLag,
    ProducerRecord,
    SearchRequest,
    Sight,
    StoredObject,
    TagFilter,
    TopicPartition,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.engine.framing import Framing


class Clock(Protocol):
    """The time, so that tests can turn it."""

    def now(self) -> datetime:
        """Tells the present instant, with its time zone UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""


class EventProducer(Protocol):
    """Appends messages to topics: idempotent, acknowledged by all replicas, murmur2-partitioned."""

    def append(self, record: ProducerRecord) -> Future[Message]:
        """Queue one message; the future ends when the broker has acknowledged it.

        The future raises `PartUnavailable` (not acknowledged in time, or refused: it may yet
        arrive, and a repeat is safe since consumers count each event id once) or `TooLarge`.

        Raises:
            Overloaded: the local queue is full.
            PartUnavailable: the producer is closed.
        """

    def flush(self, timeout_s: float) -> None:
        """Return when nothing is queued any more.

        Raises:
            PartUnavailable: something was still unacknowledged after `timeout_s`.
        """

    def close(self) -> None:
        """Flush and let go; repeated calls do nothing."""


class EventBatch(Protocol):
    """Messages that are awaited together; one thread appends."""

    def append(self, record: ProducerRecord) -> None:
        """Queue one message, as `EventProducer.append` does.

        Raises:
            Overloaded: the local queue is full; the message is not part of the batch.
        """

    def seal(self) -> Future[int]:
        """Nothing follows: how many there were, once the brokers have acknowledged all of them.

        The future raises what the first that failed would have raised, as soon as it failed.
        """


class BatchEventProducer(EventProducer, Protocol):
    """An `EventProducer` for who sends much and asks only whether all of it arrived."""

    def batch(self) -> EventBatch:
        """Opens a new, empty batch for events that are acknowledged together."""


class RebalanceListener(Protocol):
    """Told by the consumer, on the polling thread, when partitions come and go."""

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are ours from now on."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """These go after this call: drain and commit what is finished now."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """These are gone already: forget their state, commit nothing."""


class EventConsumer(Protocol):
    """Reads topics as a member of a group; commits only what it is told to, names unprefixed."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Joins the group with cooperative rebalancing: partitions that stay are read on."""

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages` that are there within `timeout_s`; keeps the membership alive.

        Raises:
            PartUnavailable: the broker is gone; polling again resumes. It is told once, and may be
                told late: from then on, and before, polls are merely empty.
        """

    def ask(self) -> None:
        """Ask the broker for anything, briefly. Raises `PartUnavailable`: it does not answer."""

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Stop fetching these; polling keeps the assignment. Repeats do nothing."""

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Fetch these again from where they were paused. Repeats do nothing."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, synchronously, the next offset to read per partition.

        Raises:
            PartUnavailable: not acknowledged; nothing is lost, a repeat is safe.
        """

    def lag(self) -> dict[TopicPartition, int]:
        """Messages between position and end, per assigned partition, without a network call."""

    def close(self) -> None:
        """Leave the group; repeated calls do nothing."""


class LogFollower(Protocol):
    """Reads fixed partitions of one topic; no group decides what is read, or from where."""

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages` that are there within `timeout_s`. Raises `PartUnavailable`."""

    def ask(self) -> None:
        """Ask the broker for anything, briefly. Raises `PartUnavailable`: it does not answer."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell others how far it is: the next offset per partition. Raises `PartUnavailable`."""

    def close(self) -> None:
        """Closes the connection to the log; repeated calls do nothing."""


class EventLog(Protocol):
    """Reads the log outside of any group. Only what was committed to the log is ever read.

    Topics are named unprefixed. Every call raises `PartUnavailable` when the broker does not
    answer in time.
    """

    def read(
        self, topics: Sequence[str], *, key: str | None = None, since: datetime | None = None
    ) -> Iterator[Message]:
        """Every message that the topics hold now, in order within each partition, then stop.

        Topics that do not exist are empty.

        Args:
            topics: to read, all of them at once.
            key: only the one partition of each topic that this key falls on; all of it.
            since: leave out records that were appended before.
        """

    def follow(self, topic: str, starts: Mapping[int, int], *, group: str) -> LogFollower:
        """Read partitions from these offsets on, and what is appended later.

        A start outside of the log begins at the log's beginning: compare the first offset that
        comes with the one that was asked for.

        Args:
            topic: to read.
            starts: the first offset to read, per partition; 0 is the log's beginning.
            group: under which the follower's offsets are committed; it must have no members.
        """

    def partition_count(self, topic: str) -> int:
        """How many partitions the topic has. Raises `RefusedToStart`: there is no such topic."""

    def start_offsets(self, group: str, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Per partition the offset that the group committed, never below the log's start."""

    def offsets_since(self, topic: str, since: datetime | None) -> dict[int, int]:
        """Per partition an offset from which everything since a moment is read; None: 0."""

    def last_records(self, topic: str) -> dict[int, Message | None]:
        """Per partition of a topic that is not compacted, its last record; None: it is empty.

        No partition at all: there is no such topic.
        """

    def next_record(self, at: TopicPartition, offset: int) -> int:
        """Where the first record lies that can be read at `offset` or after; the end: none yet.

        Offsets between them hold nothing that could be lost: ends of transactions, aborted records,
        what compaction removed, what was deleted below the log's start.
        """

    def lag(self, group: str, topics: Sequence[str], *, ages: bool = True) -> list[PartitionLag]:
        """How far a group is, per partition; topics that do not exist are left out.

        Args:
            group: looked at from outside, without joining it.
            topics: that it reads.
            ages: also look up how long the first uncommitted message waits (one fetch each).
        """


class ObjectStore(Protocol):
    """Bytes by bucket and key, with compare-and-set."""

    def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream"
    ) -> StoredObject:
        """Write, replacing what was there. Raises `PartUnavailable`."""

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """Write only if the stored etag is `expected_etag` (None: only if nothing is stored).

        Raises:
            Conflict: something else is stored.
            PartUnavailable: the store did not answer; the write may have happened.
        """

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """Read whole.

        Raises:
            ObjectMissing: no such object; `ObjectRefused`: the store will not hand it out.
            TooLarge: it is over `max_bytes`.
            PartUnavailable: no answer; `ObjectDenied`: we may not read it, the store works.
        """

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Size, etag, times and user metadata. Raises `ObjectMissing`, `PartUnavailable`."""

    def delete(self, bucket: str, key: str) -> None:
        """Remove; a missing object is fine. Raises `PartUnavailable`."""

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """Objects under a prefix in key order, lazily. Raises `PartUnavailable`."""

    def ensure_bucket(self, bucket: str) -> None:
        """Create the bucket if it is not there. Raises `PartUnavailable`."""

    def close(self) -> None:
        """Let go of connections; repeated calls do nothing."""


class VectorIndex(Protocol):
    """One generation of the index: catalogue and vectors in one, fenced by version.

    Everything that reads for a caller goes through `search`, which adds the visibility filter
    itself and cannot be asked not to. `get` and `scan` see everything and are for workers,
    reconciliation and, behind `engine/vector_index/visible.py`, for status.

    Synchronous, though the API is not: docs/adr/0009.
    """

    @property
    def spec(self) -> GenerationSpec:
        """The model and geometry that this generation was made with."""

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """Write each image iff its fence (version, tie, stage) is above the stored one.

        Atomic per image, idempotent, safe against concurrent writers of the same image. Several
        entries for one image in a call end in the highest. When it returns, `search` shows the
        effect; `flush` makes it durable. The operator's decision about an image stays as it is.
        Vector and features are part of the write: what is written without them has none after it.

        Raises:
            ValueError: a vector is not finite and unit, or features are not as the generation keeps
                them; nothing was written.
            PartUnavailable: it may be half applied; repeat it whole.
        """

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """Store only where the winning event lies now (its `winner`), iff the fence is equal.

        Raises:
            PartUnavailable: repeat it whole.
        """

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """Write each decision iff its fence (version, tie) is above the stored decision's.

        As `apply`, of which it is independent: whatever writes come to the image before, after or
        at the same time, both the image and the decision end in their highest. One about an image
        that is not known is kept, and holds when the image comes.

        Raises:
            PartUnavailable: it may be half applied; repeat it whole.
        """

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """Store only where the winning decision lies now, iff the fence is equal.

        Raises:
            PartUnavailable: repeat it whole.
        """

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """The stored decisions, about known images and others. Raises `PartUnavailable`."""

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """Every stored decision once, in no particular order. Raises `PartUnavailable`."""

    def get(
        self,
        image_ids: Collection[str],
        *,
        vectors: bool = False,
        features: bool = False,
        sight: Sight | None = None,
    ) -> dict[str, IndexedImage]:
        """Those of the images that are stored; unknown ids are absent.

        Args:
            image_ids: the images.
            vectors: whether they come with their vectors.
            features: whether they come with their features, where the generation keeps any.
            sight: what the read itself may find, so that what is hidden costs exactly what an
                unknown id costs; None: every image, whatever its visibility, and one that cannot
                be read as `unreadable`.

        Raises:
            PartUnavailable: the index did not answer.
        """

    def search(self, request: SearchRequest) -> list[Hit]:
        """The nearest *listed* images: public, not blocked, not deleted, not rejected.

        By descending score, ties by image id. Raises `PartUnavailable`, `Overloaded`.
        """

    def clusters_near(self, vector: NDArray[np.float32], limit: int) -> Nearby:
        """The clusters of the `limit` nearest listed images, and how near the nearest one is.

        An image that is in none has none here; two of one cluster name it twice. What a search
        tells of each image is not read: the worker asks for every image that it embeds.

        Args:
            vector: (dimensions,), L2 norm 1.
            limit: how many images are looked at.

        Raises:
            PartUnavailable: the index did not answer.
        """

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """The listed images of a cluster whose bytes were published first, earliest first.

        Of equal times any may come first. Raises `PartUnavailable`.
        """

    def scan(
        self, *, vectors: bool = False, features: bool = False, batch: int = 1_000
    ) -> Iterator[IndexedImage]:
        """Every readable image once, in no particular order. Raises `PartUnavailable`.

        Args:
            vectors: whether they come with their vectors.
            features: whether they come with their features, where the generation keeps any.
            batch: images to one read.
        """

    def count(self, *, listed_only: bool = False) -> int:
        """How many images are stored, or only those that a search can return."""

    def purge(self, image_ids: Collection[str]) -> None:
        """Remove tombstones for good, after their retention; decisions about the images stay."""

    def flush(self) -> None:
        """Return when everything applied before this call survives a crash.

        Raises:
            PartUnavailable: not durable; commit nothing.
        """

    def wait_optimised(self, timeout_s: float) -> bool:
        """Whether the graph covered what is held, or did within so many seconds.

        Until then some vectors are scanned, and order may still change. Raises `PartUnavailable`.
        """

    def close(self) -> None:
        """Flush and let go; repeated calls do nothing."""


class Embedder(Protocol):
    """Upright RGB crops to unit vectors of one vector space."""

    @property
    def digest(self) -> str:
        """Names the vector space: weights, projection, preprocess, precision and runtime."""

    @property
    def features_digest(self) -> str:
        """Names what `features` gives: the digest's parts without the projection.

        Two models of one features digest differ in their projections only: what one of them kept
        of an image can be projected by the other.
        """

    @property
    def feature_count(self) -> int:
        """How many numbers the network gives of a picture, before the projection."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector of this model has."""

    @property
    def framing(self) -> Framing:
        """How a picture becomes the square that the model sees."""

    @property
    def runtime(self) -> str:
        """What runs it, for `/readyz`: `openvino`, `torch-eager`, `torch-compiled`, `cuda`."""

    @property
    def batched(self) -> bool:
        """Whether several images at once cost less than one after the other."""

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network sees: the same crop gives the same row whatever it is batched with.

        Args:
            crops: uint8 (n, size, size, 3), RGB, as `framing` says.

        Returns:
            float32 (n, feature_count).
        """

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features to vectors: row by row, so that batching changes no bit.

        Args:
            features: float32 (n, feature_count).

        Returns:
            float32 (n, dimensions), each row of L2 norm 1.
        """

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch, `project(features(crops))`, which never depends on the batch.

        Args:
            crops: uint8 (n, size, size, 3), RGB, as `framing` says.

        Returns:
            float32 (n, dimensions), each row of L2 norm 1.
        """
