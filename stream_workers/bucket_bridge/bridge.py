"""The bucket bridge: notifications of plain S3 uploads become image events (docs/images.md).

A notification is a hint: the bridge looks at what the bucket holds now, and the image follows that
through the catalogue of the `sightline` authority. So order and repetition are harmless, and the
images of one batch are looked at in parallel, each once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from pydantic import ValidationError

from sightline.engine.errors import (
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    Part,
    PermanentError,
)
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import EventConsumer, EventProducer, ObjectStore
from sightline.engine.records import Message, StoredObject
from sightline.engine.settings import BridgeSettings, WorkerSettings
from sightline.producers.backfill.tree import skipped_because
from sightline.producers.images.bucket_object import BucketObject
from sightline.producers.images.catalogued import CataloguedImages
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Visibility
from sightline.schemas.topics import BUCKET_NOTIFICATIONS
from sightline.stream_workers.bucket_bridge.notifications import (
    ObjectNotice,
    read_notification,
)
from sightline.stream_workers.bucket_bridge.seen import seen_object
from sightline.stream_workers.delivery.batches import BatchMember
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetters
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.delivery.outbox import Letter, Outbox
from sightline.stream_workers.delivery.retries import Patience

_THREADS = 8


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
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._store = store
        self._images = images
        self._own_bucket = own_bucket
        self._settings = settings
        self._metrics = metrics
        self._patience = Patience(limits, health, metrics)
        self._batches = BatchMember(consumer, BUCKET_NOTIFICATIONS.name, patience=self._patience)
        self._outbox = Outbox(producer, self._patience)
        limit = LetterLimit(LetterRate.of(limits, "worker"))
        self._dead_letters = DeadLetters(self._outbox, limit, metrics)

    def run(self, stop: threading.Event) -> None:
        """Bridge until `stop` is set; what was not finished is delivered again. Runs once.

        Raises:
            DeadLetterLimit: too many dead letters; nothing past the last one is committed.
        """
        with closing(self._batches), ThreadPoolExecutor(_THREADS, "bridge") as pool:
            self._batches.run(partial(self._bridge, pool), stop)

    def _bridge(self, pool: ThreadPoolExecutor, messages: Sequence[Message]) -> None:
        newest: dict[str, tuple[Message, ObjectNotice]] = {}
        letters: list[Letter] = []
        for message in messages:
            for notice in self._read(message, letters):
                known = newest.get(notice.image_id)
                if known is None or (notice.sequencer or "") >= (known[1].sequencer or ""):
                    newest[notice.image_id] = (message, notice)
        followed = pool.map(lambda item: self._image(*item), newest.values())
        letters += [letter for letter in followed if letter is not None]
        for letter in letters:
            self._outbox.settle(letter)

    def _read(self, message: Message, letters: list[Letter]) -> Sequence[ObjectNotice]:
        try:
            said = read_notification(message.value)
        except ContractError as error:
            letters.append(self._refuse(message, "read", error, by_sender=False))
            return ()
        letters += [self._refuse(message, "read", error) for error in said.refused]
        if said.ignored:
            self._count("ignored", said.ignored)
        ours = [notice for notice in said.notices if notice.bucket == self._own_bucket]
        if ours:
            self._count("own_bucket", len(ours))
        return [notice for notice in said.notices if notice.bucket != self._own_bucket]

    def _image(self, message: Message, notice: ObjectNotice) -> Letter | None:
        """Make one image what the bucket holds; the dead letter if that can never be done."""
        try:
            self._count(self._patience.until_it_works(Part.STORE, partial(self._follow, notice)))
        except (PermanentError, ValidationError) as error:
            return self._refuse(message, "catalogue", error)
        return None

    def _follow(self, notice: ObjectNotice) -> str:
        published = self._images.follow_object(notice.image_id, partial(self._look, notice))
        if published is not None:
            return "followed"
        left_out = not self._settings.hidden and skipped_because(notice.key)
        return "hidden" if left_out else "nothing_there"

    def _look(self, notice: ObjectNotice) -> BucketObject | None:
        """What the bucket holds under the key.

        Raises:
            PermanentError: we may not look, and the notification does not say that it is gone.
        """
        try:
            return self._described(notice)
        except ObjectMissing:
            return None
        except ObjectDenied as error:
            # Who may not list a bucket is told 403 of what is not there, too.
            if notice.removed and not self._is_listed(notice):
                return None
            raise PermanentError(
                f"{error}; let the bridge read and list the bucket {notice.bucket}"
            ) from error

    def _described(self, notice: ObjectNotice) -> BucketObject:
        """The object as the store describes it, else, where it refuses to, as it lists it.

        It is there: its image follows it, and the worker says why its bytes are not to be had.

        Raises:
            ObjectMissing: it is not there.
            ObjectRefused: it may be there, and a list does not show it.
        """
        visibility = self._settings.visibility
        try:
            found = self._store.stat(notice.bucket, notice.key)
        except ObjectRefused:
            listed = self._listed(notice)
            if listed is None and notice.removed:
                raise ObjectMissing(f"{notice.bucket}/{notice.key} is not listed") from None
            if listed is None:
                raise
            found = listed
            visibility = Visibility.PRIVATE  # what its uploader said is not listed
        return seen_object(found, visibility, hidden=self._settings.hidden)

    def _is_listed(self, notice: ObjectNotice) -> bool:
        """Whether a list, if we may have one, shows the object."""
        try:
            return self._listed(notice) is not None
        except ObjectDenied:
            return False

    def _listed(self, notice: ObjectNotice) -> StoredObject | None:
        found = self._store.list(notice.bucket, notice.key)
        return next((item for item in found if item.key == notice.key), None)

    def _refuse(
        self, message: Message, stage: str, error: Exception, *, by_sender: bool = True
    ) -> Letter:
        """The dead letter; what one record says is up to whoever may put objects into a bucket."""
        self._count("dead_lettered")
        return self._dead_letters.send(message, Cause.of(stage, error, by_sender=by_sender))

    def _count(self, result: str, number: int = 1) -> None:
        self._metrics.notifications.labels(result).inc(number)
