"""The embedded stack: broker, journal, store and index of one owner process (docs/adr/0008)."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from sightline.engine.connecting.connections import EMBEDDED_PARTITIONS, embedded_kafka
from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.embedded.bounded_producer import (
    BoundedEventProducer,
    CommittedOffsets,
)
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.engine.event_log.embedded.journaled_producer import JournaledEventProducer
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.records import Fence, Message, Stage
from sightline.engine.settings import KafkaSettings, Settings
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.parts import Parts
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, INTERACTIONS, TOPICS
from sightline.stream_workers.labels.groups import join_group

if TYPE_CHECKING:
    from sightline.engine.ports import Clock, EventProducer, VectorIndex

JOURNAL_FILE = "journal.sqlite"
COMPACT_EVERY_S = 60.0
_CHUNK = 500


class EmbeddedParts(Parts):
    """The parts of the owner process; everything durable lies in the data directory.

    The index comes first: its lock on the directory keeps a second owner out.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        super().__init__(settings, clock=clock)
        _ = self.index

    @cached_property
    def _broker(self) -> InProcessBroker:
        broker = InProcessBroker(TOPICS, EMBEDDED_PARTITIONS)
        self._open.callback(broker.close)
        return broker

    @property
    def kafka(self) -> KafkaSettings:
        """How to reach our own broker."""
        return embedded_kafka(self.settings, self._broker.bootstrap_servers)

    def _log_identity(self) -> str:
        # Relative: both directories may move together.
        place = os.path.relpath(
            self.settings.data_directory.resolve(), self.settings.index_directory.resolve()
        )
        return f"the embedded journal in {place}"

    def ensure_topics(self) -> list[str]:
        """The broker was made with its topics."""
        _ = self._broker
        return []

    @cached_property
    def journal(self) -> Journal:
        """What remembers image events when the broker forgets."""
        journal = Journal(self.settings.data_directory / JOURNAL_FILE)
        self._open.callback(journal.close)
        return journal

    @cached_property
    def _log(self) -> EventProducer:
        """Appends to our own broker, without a bound and without the journal."""
        log = KafkaEventProducer(self.kafka)
        self._open.callback(log.close)
        return log

    @property
    def worker_producer(self) -> EventProducer:
        """The worker must never wait for its own commits, and tells the journal nothing new."""
        return self._log

    @cached_property
    def producer(self) -> EventProducer:
        """Refuses what the consumers are too far behind for, else journals it, then appends."""
        group = self.settings.worker.group
        groups = {
            IMAGES.name: f"{group}-{Lane.LIVE}",
            IMAGES_BACKFILL.name: f"{group}-{Lane.BACKFILL}",
        }
        labels = self.settings.labels
        if labels.supervised:  # else nobody ever commits
            groups[INTERACTIONS.name] = join_group(labels, INTERACTIONS.name)
        committed = CommittedOffsets(self.kafka)
        self._open.callback(committed.close)
        journaled = JournaledEventProducer(self._log, self.journal, clock=self.clock)
        producer = BoundedEventProducer(
            journaled, groups, committed, partitions=EMBEDDED_PARTITIONS
        )
        self._open.callback(producer.close)
        return producer

    def loops(self) -> dict[str, Loop]:
        """The journal's keeper."""
        return {"journal": self._keep_journal}

    def label_stage_loops(self) -> dict[str, Loop]:
        """Join, miner and sink, and at the end what is lost of their work."""
        said = {"lost labels": _say_what_is_lost} if self.settings.labels.supervised else {}
        return super().label_stage_loops() | said

    @cached_property
    def run_id(self) -> str | None:
        """A new one for every owner: the broker's offsets begin at 0 again."""
        return uuid.uuid4().hex

    def _keep_journal(self, stop: threading.Event) -> None:
        """Publish what a crash kept from index or log, then keep the journal small."""
        self.journal.compact()
        for record in unapplied(self.journal.winners(), self.index):
            _append_patiently(self.producer, record, stop)
        self.catalogued.publish_unpublished()
        while not stop.wait(COMPACT_EVERY_S):
            self.journal.compact()

    def remembered_images(self) -> Iterable[Message]:
        """The journal's: the broker keeps about 5 MiB a partition."""
        return self.read_images()

    def read_images(self) -> Iterable[Message]:
        """Every image event there is: the journal's, as the broker forgets."""
        for offset, record in enumerate(self.journal.winners()):
            yield Message(
                topic=record.topic,
                partition=0,
                offset=offset,
                key=record.image_id.encode(),
                value=record.value,
                timestamp=record.appended,
                headers=record.headers,
            )


def _say_what_is_lost(stop: threading.Event) -> None:
    stop.wait()
    logging.getLogger(__name__).info(
        "interactions of epochs that are still open are lost with the embedded broker"
    )


def unapplied(records: Iterable[JournalRecord], index: VectorIndex) -> Iterable[JournalRecord]:
    """The records that the index is below, in their order."""
    chunk: list[JournalRecord] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == _CHUNK:
            yield from _above(chunk, index)
            chunk = []
    yield from _above(chunk, index)


def _above(chunk: list[JournalRecord], index: VectorIndex) -> Iterable[JournalRecord]:
    stored = index.get([record.image_id for record in chunk])
    for record in chunk:
        image = stored.get(record.image_id)
        if image is None or image.fence < Fence(record.version, record.tie, int(Stage.FINAL)):
            yield record


def _append_patiently(
    producer: EventProducer, record: JournalRecord, stop: threading.Event
) -> None:
    """Append, waiting for the consumers where they are behind."""
    while not stop.is_set():
        try:
            producer.append(
                record.topic,
                record.image_id,
                record.value,
                headers=record.headers,
                timestamp=record.appended,
            )
        except PartUnavailable as error:
            stop.wait(error.retry_after_s)
        else:
            return
