"""A plain S3 upload becomes an image: MinIO's own notifications, the bridge, the image topics."""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from minio import Minio
from minio.commonconfig import ENABLED
from minio.notificationconfig import NotificationConfig, QueueConfig
from minio.versioningconfig import VersioningConfig
from pydantic import SecretStr

from sightline.engine.clock import SystemClock
from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.kafka import KafkaEventConsumer, KafkaEventProducer, read_topics
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import BridgeSettings, KafkaSettings, StoreSettings, WorkerSettings
from sightline.infra.local.minio_server import LocalMinio
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.ids import id_of_object
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageDeleted, ImageState, ImageUploaded
from sightline.schemas.registry import decode
from sightline.schemas.topics import (
    BUCKET_NOTIFICATIONS,
    BUCKET_NOTIFICATIONS_DLQ,
    IMAGES,
    TOPICS,
)
from sightline.stream_workers.bucket_bridge.bridge import BucketBridge
from tests.patience import patient
from tests.waiting import eventually


class Bridged:
    """A bridge at work, and a bucket that it watches."""

    def __init__(self, kafka: KafkaSettings, server: LocalMinio) -> None:
        self.kafka = kafka
        settings = StoreSettings(
            endpoint=server.endpoint,
            access_key=server.access_key,
            secret_key=SecretStr(server.secret_key),
        )
        self.store = S3ObjectStore(settings)
        eventually(self._bucket_made)  # a store that has just started may still say 503
        self.producer = KafkaEventProducer(kafka)
        self.s3 = Minio(
            server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            secure=False,
        )
        clock = SystemClock()
        publisher = ImagePublisher(
            self.producer, self.store, bucket=settings.bucket, source="/test", clock=clock
        )
        self.images = CataloguedImages(Catalogue(self.store, settings.bucket), publisher)
        self.metrics = Metrics()
        self.bridge = BucketBridge(
            consumer=KafkaEventConsumer(kafka, group="bridge"),
            producer=self.producer,
            store=self.store,
            images=self.images,
            own_bucket=settings.bucket,
            settings=BridgeSettings(),
            limits=WorkerSettings(),
            metrics=self.metrics,
            health=Health(clock),
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.bridge.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def _bucket_made(self) -> bool:
        try:
            self.store.ensure_bucket("sightline")
        except PartUnavailable:
            return False
        return True

    def watch(self, server: LocalMinio, bucket: str) -> None:
        """Let the server notify us of a bucket."""
        if not self.s3.bucket_exists(bucket):
            self.s3.make_bucket(bucket)
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        target = QueueConfig(queue=server.target("images"), events=events)
        self.s3.set_bucket_notification(bucket, NotificationConfig(queue_config_list=[target]))

    def put(self, bucket: str, key: str, data: bytes, **metadata: str) -> None:
        """A plain upload."""
        said: dict[str, str | list[str] | tuple[str]] = dict(metadata)
        self.s3.put_object(
            bucket, key, io.BytesIO(data), len(data), content_type="image/jpeg", metadata=said
        )

    def states(self) -> list[ImageState]:
        """Everything on the live image topic."""
        return [decode(message.value).data for message in read_topics(self.kafka, [IMAGES.name])]

    def close(self) -> None:
        """Stop the bridge."""
        self._stop.set()
        self._thread.join(patient(20))
        self.producer.close()
        self.store.close()


@pytest.fixture
def server(tmp_path: Path, kafka_settings: KafkaSettings) -> Iterator[LocalMinio]:
    """A store that sends its notifications to this test's topic."""
    KafkaTopics(kafka_settings).ensure(TOPICS)
    topic = kafka_settings.topic_prefix + BUCKET_NOTIFICATIONS.name
    with LocalMinio(
        tmp_path / "minio", notify={"images": (kafka_settings.bootstrap_servers, topic)}
    ) as running:
        yield running


@pytest.fixture
def bridged(server: LocalMinio, kafka_settings: KafkaSettings) -> Iterator[Bridged]:
    """A bridge at work."""
    made = Bridged(kafka_settings, server)
    try:
        yield made
    finally:
        made.close()


def test_uploads_and_removals_of_a_watched_bucket_become_events(
    bridged: Bridged, server: LocalMinio
) -> None:
    """Keys with blanks and accents; private unless said; what is known stays; ours is unseen."""
    bucket = f"theirs-{uuid.uuid4().hex[:8]}"
    bridged.watch(server, bucket)
    bridged.watch(server, "sightline")
    bridged.put(bucket, "été 1+2.jpg", b"first")
    bridged.put("sightline", "images/ours", b"ours")
    (uploaded,) = eventually(bridged.states) or []
    assert isinstance(uploaded, ImageUploaded)
    assert uploaded.object.key == "été 1+2.jpg"
    assert uploaded.object.size_bytes == 5
    assert uploaded.object.content_type == "image/jpeg"
    assert uploaded.visibility is Visibility.PRIVATE
    assert uploaded.image_id.startswith("s3-")
    bridged.images.patch(uploaded.image_id, {"tags": ("kept",), "visibility": Visibility.PUBLIC})
    bridged.put(bucket, "été 1+2.jpg", b"second")
    bridged.put(bucket, "open.jpg", b"open", **{"x-amz-meta-visibility": "public"})
    eventually(lambda: len(bridged.states()) == 4)
    bridged.s3.remove_object(bucket, "open.jpg")
    eventually(lambda: len(bridged.states()) == 5)
    again = [state for state in bridged.states() if state.image_id == uploaded.image_id][-1]
    assert again.version == uploaded.version + 2
    assert (again.tags, again.visibility) == (("kept",), Visibility.PUBLIC)
    created, removed = [s for s in bridged.states() if s.image_id != uploaded.image_id]
    assert created.visibility is Visibility.PUBLIC
    assert isinstance(removed, ImageDeleted)
    assert removed.version == created.version + 1


def test_an_old_version_that_is_removed_leaves_the_image(
    bridged: Bridged, server: LocalMinio
) -> None:
    """In a bucket with versions, the object is still there; its last marker deletes it."""
    bucket = f"theirs-{uuid.uuid4().hex[:8]}"
    bridged.watch(server, bucket)
    bridged.s3.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    bridged.put(bucket, "k.jpg", b"first")
    eventually(lambda: len(bridged.states()) == 1)
    bridged.put(bucket, "k.jpg", b"second")
    eventually(lambda: len(bridged.states()) == 2)
    oldest = min(
        bridged.s3.list_objects(bucket, include_version=True),
        key=lambda item: item.last_modified or datetime.max.replace(tzinfo=UTC),
    )
    bridged.s3.remove_object(bucket, "k.jpg", version_id=oldest.version_id)
    bridged.put(bucket, "after.jpg", b"after")
    eventually(lambda: len(bridged.states()) == 3)
    bridged.s3.remove_object(bucket, "k.jpg")
    eventually(lambda: len(bridged.states()) == 4)
    image_id = id_of_object(bucket, "k.jpg")
    gone = [isinstance(s, ImageDeleted) for s in bridged.states() if s.image_id == image_id]
    assert gone == [False, False, True]


def test_notifications_of_nothing_change_nothing_and_malformed_ones_are_dead_lettered(
    bridged: Bridged,
) -> None:
    """Whatever their order and repetition: the bucket never held the object."""

    def note(name: str) -> bytes:
        s3 = {"bucket": {"name": "theirs"}, "object": {"key": "k.jpg", "sequencer": "17F0"}}
        return json.dumps({"Records": [{"eventName": name, "s3": s3}]}).encode()

    removed, created = note("s3:ObjectRemoved:Delete"), note("s3:ObjectCreated:Put")
    for value in (removed, created, removed, b"{}"):
        bridged.producer.append(
            ProducerRecord(BUCKET_NOTIFICATIONS.name, "theirs/k.jpg", value)
        ).result(patient(30))
    (letter,) = (
        eventually(lambda: list(read_topics(bridged.kafka, [BUCKET_NOTIFICATIONS_DLQ.name]))) or []
    )
    assert letter.value == b"{}"
    assert bridged.states() == []
