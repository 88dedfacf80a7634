"""Every port on its adapter in memory: a whole system in one process, which keeps nothing."""

from __future__ import annotations

from collections.abc import Iterable

from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.consumer import MemoryEventConsumer
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.ports import Clock
from sightline.engine.records import GenerationSpec
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.schemas.topics import TOPICS, Topic


class SystemInMemory:
    """Log, object store and vector index that belong together.

    Args:
        spec: of the index; an embedder decides it.
        bucket: which exists from the start.
        topics: of the log.
        partitions: of every topic; none: each topic's own count.
        clock: stamps what is appended.
        polls_wait: whether a poll waits for records; a test that takes all turns itself says no.
    """

    def __init__(
        self,
        spec: GenerationSpec,
        *,
        bucket: str = "sightline",
        topics: Iterable[Topic] = TOPICS,
        partitions: int | None = 1,
        clock: Clock | None = None,
        polls_wait: bool = True,
    ) -> None:
        self.broker = MemoryBroker(topics, partitions, clock=clock, polls_wait=polls_wait)
        self.producer = MemoryEventProducer(self.broker)
        self.log = MemoryEventLog(self.broker)
        self.store = MemoryObjectStore(bucket)
        self.bucket = bucket
        self.index = MemoryVectorIndex(spec)

    def consumer(self, group: str) -> MemoryEventConsumer:
        """Opens a consumer that joins `group` as a new member."""
        return MemoryEventConsumer(self.broker, group=group)
