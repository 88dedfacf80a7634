"""Keeps the embedded journal: what a crash kept from the log goes out again, and it stays small."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.engine.records import Fence, Stage
from sightline.producers.images.catalogued import CataloguedImages

if TYPE_CHECKING:
    from sightline.engine.ports import EventProducer, VectorIndex

COMPACT_EVERY_S = 60.0
_CHUNK = 500


def keep_journal(
    journal: Journal,
    index: VectorIndex,
    producer: EventProducer,
    catalogued: CataloguedImages,
    stop: threading.Event,
) -> None:
    """Publish what a crash kept from index or log, then compact the journal until `stop`."""
    journal.compact()
    for record in unapplied(journal.winners(), index):
        _append_patiently(producer, record, stop)
    catalogued.publish_unpublished()
    while not stop.wait(COMPACT_EVERY_S):
        journal.compact()


def say_what_is_lost(stop: threading.Event) -> None:
    """Wait for `stop`, and log which labels end with the embedded broker."""
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
