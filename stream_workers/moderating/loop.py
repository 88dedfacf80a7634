"""Decisions of the operator in, an index that hides what they say out.

A loop of its own beside the index worker: a block waits for no picture. What it writes is fenced
apart from images, so the two need not know of each other (docs/adr/0019).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from sightline.engine.errors import Part
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import EventConsumer, EventProducer, VectorIndex
from sightline.engine.records import IndexedDecision, Message, ProducerRecord
from sightline.engine.settings import WorkerSettings
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.topics import IMAGES_MODERATION
from sightline.stream_workers.delivery.batches import BatchMember
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetters
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.delivery.outbox import Letter, Outbox
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.image_log.decisions import decision_order, read_decision
from sightline.stream_workers.image_log.winners import (
    Passed,
    location_of,
    winners_to_relocate,
)


class ModerationLoop:
    """Applies `images.moderation.v1`; commits a batch once its effect is durable.

    Args:
        consumer: a member of `moderation_group`; closed here.
        producer: appends winners again, and dead letters.
        index: what is written.
        settings: the index worker's, for backoff and the dead-letter limit.
        tells: whether others are told of a record that cannot be read.
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
        tells: Callable[[datetime], bool] = lambda _: True,
    ) -> None:
        self._tells = tells
        self._index = index
        self._metrics = metrics
        self._patience = Patience(settings, health, metrics)
        self.batches = BatchMember(consumer, IMAGES_MODERATION.name, patience=self._patience)
        self._outbox = Outbox(producer, self._patience)
        self._dead_letters = DeadLetters(
            self._outbox, LetterLimit(LetterRate.of(settings, "worker")), metrics
        )

    def run(self, stop: threading.Event) -> None:
        """Apply until `stop` is set; what was not finished is delivered again. Runs once.

        Raises:
            DeadLetterLimit: too many dead letters; nothing past the last one is committed.
        """
        with closing(self.batches):
            self.batches.run(self.apply, stop)

    def apply(self, messages: Sequence[Message]) -> None:
        """Write what the messages say, and make it durable. A repeat changes nothing."""
        letters: list[Letter] = []
        passed: list[Passed] = []
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
                fence = None if event is None else decision_order(event)
                passed.append(Passed(message.key_text, location_of(message), fence))
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
            if self._tells(message.timestamp):
                self._metrics.decisions.labels("dead_lettered").inc()
                letters.append(self._dead_letters.send(message, Cause.of("read", error)))
            return None

    def _keep_winners(self, passed: Sequence[Passed]) -> None:
        """What compaction would drop is appended again; where winners lie now is stored."""
        ids = {one.image_id for one in passed}
        if not ids:
            return
        stored = self._patience.until_it_works(Part.INDEX, lambda: self._index.decisions(ids))
        self._count(passed, stored)
        places = winners_to_relocate(passed, stored, self._append_again)
        if places:
            self._patience.until_it_works(
                Part.INDEX, lambda: self._index.relocate_decisions(places)
            )

    def _append_again(self, winner: IndexedDecision) -> IndexedDecision:
        topic = winner.winner.topic
        letter = self._outbox.send(ProducerRecord(topic, winner.image_id, winner.event.encode()))
        message = self._outbox.settle(letter)
        self._metrics.reappended.labels(topic).inc()
        return replace(winner, winner=location_of(message), appended=message.timestamp)

    def _count(self, passed: Sequence[Passed], stored: Mapping[str, IndexedDecision]) -> None:
        for one in (record for record in passed if record.fence is not None):
            winner = stored.get(one.image_id)
            won = winner is not None and winner.fence == one.fence
            self._metrics.decisions.labels("applied" if won else "superseded").inc()
