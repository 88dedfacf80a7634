"""A plain S3 upload to a bucket that we watch becomes searchable, and goes when it is removed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio
from minio.notificationconfig import NotificationConfig, QueueConfig
from pydantic import SecretStr

from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.settings import KafkaSettings, Mode, StoreSettings
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.local.node_process import NodeProcess
from sightline.producers.images.ids import id_of_object
from sightline.schemas.topics import BUCKET_NOTIFICATIONS, TOPICS
from tests.asking import Asking, drawn, embedded
from tests.processes import ForkedNode
from tests.waiting import eventually

BUCKET = "shop-photos"
SOON_S = 60.0
"""MinIO's queue of notifications is emptied every 3 s."""


@dataclass
class Shop:
    """Somebody else's bucket, and our stack that hears of it."""

    s3: Minio
    api: Asking
    node: NodeProcess

    def put(
        self,
        key: str,
        data: bytes,
        visibility: str | None = None,
        content_type: str = "image/jpeg",
    ) -> None:
        """A plain upload, as any S3 client does it."""
        metadata: dict[str, str | list[str] | tuple[str]] = {}
        if visibility is not None:
            metadata["visibility"] = visibility
        self.s3.put_object(
            BUCKET, key, io.BytesIO(data), len(data), content_type=content_type, metadata=metadata
        )

    def first(self, data: bytes) -> str | None:
        """What a search by the picture finds first."""
        return next(iter(self.api.found(data, limit=1)), None)

    def status(self, key: str) -> str | None:
        """What became of the object's image."""
        answer = self.api.get(f"/v1/images/{id_of_object(BUCKET, key)}")
        return str(answer.json()["status"]) if answer.is_success else None


@pytest.fixture
def shop(kafka_settings: KafkaSettings, tmp_path: Path) -> Iterator[Shop]:
    """Kafka, a MinIO that sends its notifications there, and `sightline up` around both."""
    KafkaTopics(kafka_settings).ensure(TOPICS)
    topic = kafka_settings.topic_prefix + BUCKET_NOTIFICATIONS.name
    notify = {"images": (kafka_settings.bootstrap_servers, topic)}
    with LocalMinio(tmp_path / "minio", notify=notify) as server:
        s3 = Minio(
            server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            secure=False,
        )
        s3.make_bucket(BUCKET)
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        target = QueueConfig(queue=server.target("images"), events=events)
        s3.set_bucket_notification(BUCKET, NotificationConfig(queue_config_list=[target]))
        store = StoreSettings(
            endpoint=server.endpoint,
            access_key=server.access_key,
            secret_key=SecretStr(server.secret_key),
        )
        settings = embedded(tmp_path / "data").model_copy(
            update={"mode": Mode.SERVICES, "kafka": kafka_settings, "store": store}
        )
        with ForkedNode(settings, tmp_path / "node.log") as node, Asking(node.url) as api:
            yield Shop(s3, api, node)


@pytest.mark.parametrize("key", ["été 2026/robe d'été 1+2 %C3.jpg"])
def test_a_plain_upload_is_searchable_until_it_is_removed(shop: Shop, key: str) -> None:
    """Blanks, accents and percent signs in the key; replaced bytes count; removed means gone."""
    old, new = drawn(2, seed=8)
    image_id = id_of_object(BUCKET, key)
    shop.put(key, old, visibility="public")
    eventually(lambda: shop.first(old) == image_id, timeout_s=SOON_S)
    shop.put(key, new, visibility="public")
    eventually(lambda: _score(shop, new) > 0.999, timeout_s=SOON_S)
    shop.s3.remove_object(BUCKET, key)
    eventually(lambda: shop.status(key) == "deleted", timeout_s=SOON_S)
    assert shop.first(new) is None


def test_what_says_nothing_is_private_and_what_is_no_picture_is_rejected(shop: Shop) -> None:
    """Without metadata an object is kept ready and shown to no one; a text is rejected.

    So behind more odd objects than dead letters may come at once, and by a node that was killed.
    """
    (picture,) = drawn(1, seed=9)
    odd = [f"{number}-{'k' * 200}.jpg" for number in range(130)]
    for key in odd:
        shop.put(key, b"no picture", content_type="image/jpeg; name=" + "x" * 200)
    eventually(lambda: shop.status(odd[-1]) == "rejected", timeout_s=SOON_S)
    shop.node.kill()
    shop.node.start()
    shop.api.base_url = shop.node.url
    shop.put("quiet.jpg", picture)
    shop.put("notes.jpg", b"no picture", visibility="public")
    eventually(lambda: shop.status("quiet.jpg") == "hidden", timeout_s=SOON_S)
    eventually(lambda: shop.status("notes.jpg") == "rejected", timeout_s=SOON_S)
    assert {shop.status(key) for key in odd} == {"rejected"}
    assert shop.first(picture) is None


def _score(shop: Shop, data: bytes) -> float:
    results = shop.api.search(data, limit=1).json()["results"]
    return float(results[0]["score"]) if results else 0.0
