"""Keeps the embedded journal: what a crash kept from the log goes out again, and it stays small."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.engine.event_log.embedded.journaled_producer import IMAGE_TOPICS
from sightline.engine.records import DecisionFence, Fence, ProducerRecord, Stage
from sightline.schemas.envelope import ContractError
from sightline.schemas.registry import decode

if TYPE_CHECKING:
    from sightline.engine.ports import EventProducer, VectorIndex

COMPACT_EVERY_S = 60.0
_CHUNK = 500

_log = logging.getLogger(__name__)


class KeptInCatalogue(Protocol):
    """What a crash may have kept from the log: images, or decisions about them."""

    def publish_unpublished(self) -> object:
        """Publish what is kept without a noted acknowledgement; a repeat finds none."""


def keep_journal(
    journal: Journal,
    index: VectorIndex,
    producer: EventProducer,
    kept: Sequence[KeptInCatalogue],
    stop: threading.Event,
) -> None:
    """Publish what a crash kept from index or log, then compact the journal until `stop`."""
    journal.compact()
    for images in (False, True):  # what hides comes first
        records = (r for r in journal.winners() if (r.topic in IMAGE_TOPICS) is images)
        for record in unapplied(records, index):
            _append_patiently(producer, record, stop)
    for catalogue in kept:
        catalogue.publish_unpublished()
    while not stop.wait(COMPACT_EVERY_S):
        journal.compact()


def say_what_is_lost(stop: threading.Event) -> None:
    """Wait for `stop`, and log which labels end with the embedded broker."""
    stop.wait()
    logging.getLogger(__name__).info(
        "interactions of epochs that are still open are lost with the embedded broker"
    )


def unapplied(records: Iterable[JournalRecord], index: VectorIndex) -> Iterable[JournalRecord]:
    """The records that the index is below, in their order.

    What cannot be read (any more) is told and passed over: it would be a dead letter at each start.
    """
    chunk: list[JournalRecord] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == _CHUNK:
            yield from filter(_is_readable, _above(chunk, index))
            chunk = []
    yield from filter(_is_readable, _above(chunk, index))


def _is_readable(record: JournalRecord) -> bool:
    try:
        decode(record.value)
    except ContractError as error:
        _log.error("passed over a journaled event of image %s: %s", record.image_id, error)
        return False
    return True


def _above(chunk: list[JournalRecord], index: VectorIndex) -> Iterable[JournalRecord]:
    ids = {record.image_id for record in chunk}
    images, decisions = index.get(ids), index.decisions(ids)
    for record in chunk:
        if record.topic in IMAGE_TOPICS:
            image = images.get(record.image_id)
            fence = Fence(record.version, record.tie, int(Stage.FINAL))
            applied = image is not None and image.fence >= fence
        else:
            decision = decisions.get(record.image_id)
            wanted = DecisionFence(record.version, record.tie)
            applied = decision is not None and decision.fence >= wanted
        if not applied:
            yield record


def _append_patiently(
    producer: EventProducer, record: JournalRecord, stop: threading.Event
) -> None:
    """Append, waiting for the consumers where they are behind."""
    while not stop.is_set():
        try:
            producer.append(
                ProducerRecord(
                    record.topic,
                    record.image_id,
                    record.value,
                    headers=record.headers,
                    timestamp=record.appended,
                )
            )
        except PartUnavailable as error:
            stop.wait(error.retry_after_s)
        else:
            return
