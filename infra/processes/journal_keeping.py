"""Keeps the embedded journal: what a crash kept from the log goes out again, and it stays small."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from functools import partial
from itertools import islice, takewhile

from sightline.engine.backoff import retry_transient
from sightline.engine.errors import TransientError
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.engine.event_log.embedded.journaled_producer import DECISION_TOPICS, IMAGE_TOPICS
from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.ports import EventProducer, VectorIndex
from sightline.engine.records import DecisionFence, Fence, ImageStage, ProducerRecord
from sightline.producers.images.unpublished import Unpublished
from sightline.schemas.envelope import ContractError
from sightline.schemas.registry import decode

COMPACT_EVERY_S = 60.0
_CHUNK = 500

_log = logging.getLogger(__name__)


def keep_journal(
    journal: Journal,
    indexes: Callable[[], AbstractContextManager[Sequence[VectorIndex]]],
    producer: EventProducer,
    kept: Sequence[Unpublished],
    stop: threading.Event,
) -> None:
    """Publish what a crash kept from an index or the log, then compact the journal until `stop`.

    Args:
        journal: is read, and compacted.
        indexes: opens every generation that must have all of it.
        producer: appends it again, for all of them: the fence orders what one has already.
        kept: publish what never came to the journal.
        stop: ends it.
    """
    with indexes() as held:
        for record in takewhile(lambda _: not stop.is_set(), unapplied(journal, held)):
            append_again(producer, record, stop)
    for catalogue in kept:
        catalogue.publish(grace=timedelta())
    obstacle = Obstacle(_log, "the journal is not compacted")
    keep_looking(journal.compact, stop, every_s=COMPACT_EVERY_S, obstacle=obstacle)


def unapplied(journal: Journal, indexes: Sequence[VectorIndex]) -> Iterator[JournalRecord]:
    """The records that any index is below; first the decisions: what hides comes first.

    What cannot be read (any more) is told and passed over: it would be a dead letter at each start.
    """
    for topics, above in ((DECISION_TOPICS, _decisions_above), (IMAGE_TOPICS, _images_above)):
        records = journal.winners(topics)
        while chunk := list(islice(records, _CHUNK)):
            found = {place for index in indexes for place in above(chunk, index)}
            yield from filter(_is_readable, (chunk[place] for place in sorted(found)))


def _is_readable(record: JournalRecord) -> bool:
    try:
        decode(record.value)
    except ContractError as error:
        _log.error("passed over a journaled event of image %s: %s", record.image_id, error)
        return False
    return True


def _decisions_above(chunk: Sequence[JournalRecord], index: VectorIndex) -> Iterator[int]:
    """The places in the chunk of what the index is below."""
    held = index.decisions({record.image_id for record in chunk})
    for place, record in enumerate(chunk):
        decision = held.get(record.image_id)
        if decision is None or decision.fence < DecisionFence(record.version, record.tie):
            yield place


def _images_above(chunk: Sequence[JournalRecord], index: VectorIndex) -> Iterator[int]:
    """The places in the chunk of what the index is below."""
    held = index.get({record.image_id for record in chunk})
    for place, record in enumerate(chunk):
        image = held.get(record.image_id)
        fence = Fence(record.version, record.tie, int(ImageStage.FINAL))
        if image is None or image.fence < fence:
            yield place


def append_again(
    producer: EventProducer, record: JournalRecord, stop: threading.Event, *, key: str = ""
) -> None:
    """Append what the journal has, waiting for the consumers where they are behind.

    Args:
        producer: of the in-process broker.
        record: of the journal.
        stop: ends it; the next start appends the record.
        key: of the record in the log; none: the image's id.
    """
    again = ProducerRecord(
        record.topic,
        key or record.image_id,
        record.value,
        headers=record.headers,
        timestamp=record.appended,
    )
    with suppress(TransientError):
        retry_transient(partial(producer.append, again), stop=stop, failed=lambda _: None)
