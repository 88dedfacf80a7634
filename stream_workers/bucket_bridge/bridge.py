"""The bucket bridge: notifications of plain S3 uploads become image events (docs/images.md).

Every notification goes through the catalogue of the `sightline` authority, whose compare-and-set
and sequencer make order and repetition harmless; so one batch is worked on by image, in parallel.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sightline.engine.errors import ObjectMissing, Part, PermanentError, TransientError
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventConsumer, EventProducer, ObjectStore
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import BridgeSettings, WorkerSettings
from sightline.producers.images.catalogued import CataloguedImages
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Visibility
from sightline.schemas.topics import BUCKET_NOTIFICATIONS
from sightline.stream_workers.bucket_bridge.notifications import (
    ObjectNotice,
    parse_notification,
    said_visibility,
)
from sightline.stream_workers.delivery.dead_letters import DeadLetters
from sightline.stream_workers.delivery.outbox import Letter, Outbox
from sightline.stream_workers.delivery.retries import GaveUp, Patience

_log = logging.getLogger(__name__)
_AT_ONCE = 64
_THREADS = 8
_POLL_S = 0.1


class BucketBridge:
    """Reads `bucket-notifications.v1`; commits a batch once all its events are acknowledged.

    Args:
        consumer: a member of `settings.group`; closed here.
        images: the `sightline` authority.
        own_bucket: ours, never watched.
        limits: backoff and the dead-letter limit.
    """

    def __init__(
        self,
        *,
        consumer: EventConsumer,
        producer: EventProducer,
        store: ObjectStore,
        images: CataloguedImages,
        own_bucket: str,
        settings: BridgeSettings,
        limits: WorkerSettings,
        clock: Clock,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._images = images
        self._own_bucket = own_bucket
        self._settings = settings
        self._metrics = metrics
        self._patience = Patience(limits, health, metrics)
        self._backoff = self._patience.backoff()
        self._outbox = Outbox(producer, self._patience)
        self._dead_letters = DeadLetters(
            self._outbox,
            clock=clock,
            metrics=metrics,
            limit=limits.dead_letter_limit,
            window_s=limits.dead_letter_window_s,
        )

    def run(self, stop: threading.Event) -> None:
        """Bridge until `stop` is set; what was not finished is delivered again. Runs once.

        Raises:
            DeadLetterLimit: too many dead letters; nothing past the last one is committed.
        """
        self._patience.giving_up = stop
        try:
            self._consumer.subscribe([BUCKET_NOTIFICATIONS.name], self)
            with ThreadPoolExecutor(_THREADS, "bridge") as pool:
                while not stop.is_set():
                    self._turn(pool, stop)
        except GaveUp:
            _log.info("stopped before a batch was finished; it will be delivered again")
        finally:
            self._consumer.close()

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is kept between batches."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """The last batch is committed: revocation comes only between two polls."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is kept between batches."""

    def _turn(self, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        try:
            messages = self._consumer.poll(_AT_ONCE, _POLL_S)
            self._backoff.reset()
        except TransientError as error:
            self._patience.failed(Part.BROKER, error)
            stop.wait(self._backoff.next_s())
            return
        if messages:
            self._bridge(pool, messages)
            self._commit(messages)

    def _bridge(self, pool: ThreadPoolExecutor, messages: Sequence[Message]) -> None:
        by_image: dict[str, list[tuple[Message, ObjectNotice]]] = defaultdict(list)
        letters = []
        for message in messages:
            try:
                for notice in parse_notification(message.value):
                    by_image[notice.image_id].append((message, notice))
            except ContractError as error:
                letters.append(self._refuse(message, "read", error))
        for refused in pool.map(self._image, by_image.values()):
            letters += refused
        for letter in letters:
            self._outbox.settle(letter)

    def _image(self, notices: Sequence[tuple[Message, ObjectNotice]]) -> list[Letter]:
        """One image's notifications, one after the other; the dead letters they made."""
        letters = []
        for message, notice in notices:
            if notice.bucket == self._own_bucket:
                self._count("own_bucket")
                continue
            try:
                self._count(self._patience.until_it_works(Part.STORE, partial(self._one, notice)))
            except PermanentError as error:
                letters.append(self._refuse(message, "catalogue", error))
        return letters

    def _one(self, notice: ObjectNotice) -> str:
        if notice.reference is None:
            done = self._images.object_removed(notice.image_id, sequencer=notice.sequencer)
            return "deleted" if done else "older"
        published = self._images.object_created(
            notice.image_id,
            notice.reference,
            sequencer=notice.sequencer,
            visibility=self._visibility(notice),
        )
        return "uploaded" if published else "older"

    def _visibility(self, notice: ObjectNotice) -> Visibility:
        metadata = notice.metadata
        if metadata is None:  # AWS does not send it
            try:
                metadata = self._store.stat(notice.bucket, notice.key).metadata
            except ObjectMissing:
                metadata = {}
        return said_visibility(metadata, self._settings.visibility)

    def _refuse(self, message: Message, stage: str, error: Exception) -> Letter:
        self._count("dead_lettered")
        return self._dead_letters.send(
            message, stage=stage, error=type(error).__name__, reason=str(error)
        )

    def _count(self, result: str) -> None:
        self._metrics.notifications.labels(result).inc()

    def _commit(self, messages: Sequence[Message]) -> None:
        offsets: dict[TopicPartition, int] = {}
        for message in messages:
            place = message.topic_partition
            offsets[place] = max(offsets.get(place, 0), message.offset + 1)
        self._patience.until_it_works(Part.BROKER, lambda: self._consumer.commit(offsets))
