"""Decisions of the operator in, an index that hides what they say out.

A loop of its own beside the index worker: a block waits for no picture. What it writes is fenced
apart from images, so the two need not know of each other (docs/adr/0019).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from sightline.engine.errors import Part
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import EventConsumer, EventProducer, VectorIndex
from sightline.engine.records import IndexedDecision, Message, TopicPartition, WinnerLocation
from sightline.engine.settings import WorkerSettings
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.topics import IMAGES_MODERATION
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetters
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.delivery.outbox import Letter, Outbox
from sightline.stream_workers.delivery.retries import GaveUp, Patience
from sightline.stream_workers.image_log.decisions import (
    PassedDecision,
    decisions_that_moved,
    decisions_to_append_again,
    read_decision,
)
from sightline.stream_workers.image_log.winners import location_of

GROUP_SUFFIX = "moderation"
"""Behind the worker's group: its members share the topic's partitions."""
_AT_ONCE = 64
_POLL_S = 0.1

_log = logging.getLogger(__name__)


class ModerationLoop:
    """Applies `images.moderation.v1`; commits a batch once its effect is durable.

    Args:
        consumer: a member of the group `<settings.group>-moderation`; closed here.
        producer: appends winners again, and dead letters.
        index: what is written.
        settings: the index worker's, for backoff and the dead-letter limit.
    """

    def __init__(
        self,
        *,
        consumer: EventConsumer,
        producer: EventProducer,
        index: VectorIndex,
        settings: WorkerSettings,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._consumer = consumer
        self._index = index
        self._metrics = metrics
        self._patience = Patience(settings, health, metrics)
        self._outbox = Outbox(producer, self._patience)
        self._dead_letters = DeadLetters(
            self._outbox, LetterLimit(LetterRate.of(settings)), metrics
        )

    def run(self, stop: threading.Event) -> None:
        """Apply until `stop` is set; what was not finished is delivered again. Runs once.

        Raises:
            DeadLetterLimit: too many dead letters; nothing past the last one is committed.
        """
        self._patience.giving_up = stop
        try:
            self.subscribe()
            while not stop.is_set():
                self._turn()
        except GaveUp:
            _log.info("stopped before a batch of decisions was durable; it will be delivered again")
        finally:
            self._consumer.close()

    def subscribe(self) -> None:
        """Join the group that shares the topic's partitions."""
        self._consumer.subscribe([IMAGES_MODERATION.name], self)

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Do nothing: no state is kept between two batches."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """The last batch is committed: revocation comes only between two polls."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Do nothing: no state is kept between two batches."""

    def _turn(self) -> None:
        poll = partial(self._consumer.poll, _AT_ONCE, _POLL_S)
        messages = self._patience.polled(poll, self._consumer.ask)
        if messages:
            self.apply(messages)
            self.commit(messages)

    def apply(self, messages: Sequence[Message]) -> None:
        """Write what the messages say, and make it durable. A repeat changes nothing."""
        letters: list[Letter] = []
        passed: list[PassedDecision] = []
        decisions: list[IndexedDecision] = []
        for message in messages:
            event = self._read(message, letters)
            if event is not None:
                decisions.append(
                    IndexedDecision.of(
                        event, appended=message.timestamp, winner=location_of(message)
                    )
                )
            if event is not None or message.value is None:
                passed.append(PassedDecision.of(message, event))
        self._patience.until_it_works(Part.INDEX, lambda: self._index.moderate(decisions))
        self._keep_winners(passed)
        for letter in letters:
            self._outbox.settle(letter)
        self._patience.until_it_works(Part.INDEX, self._index.flush)

    def _read(self, message: Message, letters: list[Letter]) -> Event[ImageModerated] | None:
        if message.value is None:
            return None
        try:
            return read_decision(message)
        except ContractError as error:
            self._metrics.decisions.labels("dead_lettered").inc()
            cause = Cause(stage="read", error=type(error).__name__, reason=str(error))
            letters.append(self._dead_letters.send(message, cause))
            return None

    def _keep_winners(self, passed: Sequence[PassedDecision]) -> None:
        """What compaction would drop is appended again; where winners lie now is stored."""
        ids = {one.image_id for one in passed}
        if not ids:
            return
        stored = self._patience.until_it_works(Part.INDEX, lambda: self._index.decisions(ids))
        self._tell(passed, stored)
        known = {
            image_id: replace(stored[image_id], winner=place)
            for image_id, place in decisions_that_moved(passed, stored).items()
        }
        moved = known | {
            winner.image_id: self._append_again(winner)
            for winner in decisions_to_append_again(passed, stored | known)
        }
        if moved:
            places = list(moved.values())
            self._patience.until_it_works(
                Part.INDEX, lambda: self._index.relocate_decisions(places)
            )

    def _append_again(self, winner: IndexedDecision) -> IndexedDecision:
        topic = winner.winner.topic
        letter = self._outbox.send(topic, winner.image_id, winner.event.encode())
        message = self._outbox.settle(letter)
        self._metrics.reappended.labels(topic).inc()
        place = WinnerLocation(message.topic, message.partition, message.offset)
        return replace(winner, winner=place, appended=message.timestamp)

    def _tell(
        self, passed: Sequence[PassedDecision], stored: Mapping[str, IndexedDecision]
    ) -> None:
        for one in passed:
            winner = stored.get(one.image_id)
            won = winner is not None and winner.fence == one.fence
            self._metrics.decisions.labels("applied" if won else "superseded").inc()

    def commit(self, messages: Sequence[Message]) -> None:
        """Commit, per partition, the offset behind the last of these messages."""
        offsets: dict[TopicPartition, int] = {}
        for message in messages:
            place = message.topic_partition
            offsets[place] = max(offsets.get(place, 0), message.offset + 1)
        self._patience.until_it_works(Part.BROKER, lambda: self._consumer.commit(offsets))
