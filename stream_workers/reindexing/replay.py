"""Records that a log may have forgotten in, those that a generation is below out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sightline.engine.pacing import Pace
from sightline.engine.ports import VectorIndex
from sightline.engine.records import DecisionFence, Fence, ImageStage, Message, ProducerRecord
from sightline.schemas.envelope import ContractError
from sightline.schemas.topics import IMAGES_BACKFILL, IMAGES_MODERATION
from sightline.stream_workers.image_log.decisions import decision_order, read_decision
from sightline.stream_workers.image_log.events import read_image_event
from sightline.stream_workers.image_log.winners import order
from sightline.stream_workers.reindexing.seed import in_batches

_AT_ONCE = 64
"""Records to one question to the index, each of which the rate spreads."""


def missing_from(
    index: VectorIndex, remembered: Callable[[], Iterable[Message]], pace: Pace
) -> Iterator[ProducerRecord]:
    """What is to be appended so that the index's worker sees it; decisions first: they hide.

    Images come on the backfill lane, whatever lane they came on first: what people upload meanwhile
    goes before them, here and in every other generation. Readers merge the two topics by version.

    Args:
        index: of the generation.
        remembered: every image event and decision that there is, each winner once.
        pace: images a second that are looked for, missing or not.
    """
    decisions = (m for m in remembered() if m.topic == IMAGES_MODERATION.name)
    for batch in in_batches(decisions, _AT_ONCE):
        yield from _decisions_above(index, batch)
    images = (m for m in remembered() if m.topic != IMAGES_MODERATION.name)
    for batch in in_batches(images, _AT_ONCE):
        pace.wait(len(batch))
        yield from _images_above(index, batch)


def _decisions_above(index: VectorIndex, batch: list[Message]) -> Iterator[ProducerRecord]:
    held = index.decisions({message.key_text for message in batch})
    for message in batch:
        known = held.get(message.key_text)
        try:
            fence = decision_order(read_decision(message))
        except ContractError:
            continue  # the journal's keeper has told of it
        if known is None or known.fence < DecisionFence(*fence):
            yield _again(message, IMAGES_MODERATION.name)


def _images_above(index: VectorIndex, batch: list[Message]) -> Iterator[ProducerRecord]:
    held = index.get({message.key_text for message in batch})
    for message in batch:
        known = held.get(message.key_text)
        try:
            fence = Fence(*order(read_image_event(message)), int(ImageStage.FINAL))
        except ContractError:
            continue
        if known is None or known.fence < fence:
            yield _again(message, IMAGES_BACKFILL.name)


def _again(message: Message, topic: str) -> ProducerRecord:
    return ProducerRecord(
        topic,
        message.key_text,
        message.value,
        headers=message.headers,
        timestamp=message.timestamp,
    )
