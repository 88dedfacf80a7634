"""The main job on real input, with everything killed.

`SIGHTLINE_TEST_PHOTOS=300` takes so many photos instead of all, for working on this test. A small
collection is taken four times, every time turned further, so that there is work to kill.
"""

from __future__ import annotations

import csv
import os
import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest
import urllib3
from PIL import Image
from pydantic import SecretStr

from sightline.engine.clock import SystemClock
from sightline.engine.event_log.kafka import KafkaEventProducer, read_topics
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.settings import (
    ApiSettings,
    KafkaSettings,
    LabelSettings,
    Mode,
    Settings,
    StoreSettings,
)
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.local.node_process import NodeProcess
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility
from sightline.schemas.indexed import Outcome
from sightline.schemas.topics import IMAGES_DLQ, IMAGES_INDEXED, TOPICS
from tests.measured import Tell
from tests.outcomes import counts, outcomes_by_version
from tests.patience import patient
from tests.processes import ForkedNode
from tests.waiting import eventually

WORKER_KILLS = 10
SEARCHING = 4
FEWER_VARIABLE = "SIGHTLINE_TEST_PHOTOS"
MEMORY_LIMIT_KIB = 2 * 1024 * 1024
SEED = 20_261_121
ENOUGH = 600
"""So many that a worker which is killed ten times has work left each time."""
TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker that this test may kill."""
    with LocalKafka(tmp_path / "kafka") as server:
        yield server


@pytest.fixture
def own_minio(tmp_path: Path) -> Iterator[LocalMinio]:
    """A store that this test may kill."""
    with LocalMinio(tmp_path / "minio") as server:
        yield server


@pytest.mark.timeout(900)
def test_every_photo_is_found_as_its_own_nearest_neighbour_whatever_is_killed(
    photos: Path,
    own_kafka: LocalKafka,
    own_minio: LocalMinio,
    tmp_path: Path,
    tell: Tell,
) -> None:
    """Photos through Kafka and MinIO: worker killed ten times, broker and store once each."""
    kafka = KafkaSettings(
        bootstrap_servers=own_kafka.bootstrap_servers,
        topic_prefix="main.",
        partitions=6,
        session_timeout_s=6,
    )
    store_settings = StoreSettings(
        endpoint=own_minio.endpoint,
        bucket=f"main-{uuid.uuid4().hex[:8]}",
        access_key=own_minio.access_key,
        secret_key=SecretStr(own_minio.secret_key),
    )
    KafkaTopics(kafka).ensure(TOPICS)
    names = _files(photos, tmp_path / "turned")
    _publish(names, kafka, store_settings)
    settings = Settings(
        mode=Mode.SERVICES,
        data_directory=tmp_path / "node",
        kafka=kafka,
        store=store_settings,
        api=ApiSettings(port=0, requests_per_minute=1_000_000),
        labels=LabelSettings(supervised=False),  # nobody clicks here
    )
    node = ForkedNode(settings, tmp_path / "node.log")
    with node:
        _kill_things(node, own_kafka, own_minio, kafka, len(names))
        eventually(
            lambda: len(outcomes_by_version(kafka)) == len(names),
            timeout_s=300,
            interval_s=2,
            reason="an outcome for every photo",
        )
        assert counts(outcomes_by_version(kafka)) == {Outcome.INDEXED: len(names)}
        assert _strangers_first(node.url, names) == []
        peak = _peak_memory_kib(node.pid)
        tell("peak memory of worker and API since the last kill", f"{peak // 1024} MiB")
        assert peak < MEMORY_LIMIT_KIB
        assert node.stop() == 0
    assert not list(read_topics(kafka, [IMAGES_DLQ.name]))


def _files(photos: Path, folder: Path) -> dict[str, Path]:
    """Image id to file: all photos or as many as are asked for, and turned ones of a few."""
    with (photos / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[: int(os.environ.get(FEWER_VARIABLE, "0")) or None]
    files = {Path(row["image"]).stem: photos / row["image"] for row in rows}
    if len(files) >= ENOUGH or FEWER_VARIABLE in os.environ:
        return files
    folder.mkdir()
    turned = {}
    for name, path in files.items():
        for turn in TURNS:
            turned[f"{name}-{turn.name}"] = folder / f"{name}-{turn.name}.jpg"
            with Image.open(path) as photo:
                photo.transpose(turn).save(turned[f"{name}-{turn.name}"], quality=85)
    return files | turned


def _publish(files: dict[str, Path], kafka: KafkaSettings, settings: StoreSettings) -> None:
    store = S3ObjectStore(settings)
    store.ensure_bucket(settings.bucket)
    producer = KafkaEventProducer(kafka)
    publisher = ImagePublisher(
        producer, store, bucket=settings.bucket, source="/test", clock=SystemClock()
    )

    def upload(item: tuple[str, Path]) -> None:
        publisher.upload(
            item[1].read_bytes(), image_id=item[0], version=1, visibility=Visibility.PUBLIC
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, files.items()))
    producer.close()
    store.close()


def _kill_things(
    node: NodeProcess,
    own_kafka: LocalKafka,
    own_minio: LocalMinio,
    kafka: KafkaSettings,
    total: int,
) -> None:
    """Kill in the middle of the work: each victim when another share of the photos is done."""
    random_of = random.Random(SEED)
    victims = ["worker"] * WORKER_KILLS + ["kafka", "minio"]
    random_of.shuffle(victims)
    moments = sorted(random_of.uniform(0.02, 0.95) for _ in victims)
    for victim, moment in zip(victims, moments, strict=True):
        eventually(
            lambda due=int(moment * total): _told(kafka) >= due,  # type: ignore[misc]
            timeout_s=180,
            interval_s=0.5,
            reason=f"{moment:.0%} of the photos",
        )
        if victim == "worker":
            node.kill()
            node.start()
        else:
            server = own_kafka if victim == "kafka" else own_minio
            server.kill()
            server.start()


def _told(kafka: KafkaSettings) -> int:
    """How many outcomes were told so far, repeats after a kill included: offsets have no gaps."""
    last = KafkaEventLog(kafka).last_records(IMAGES_INDEXED.name)
    return sum(message.offset + 1 for message in last.values() if message is not None)


def _peak_memory_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def _strangers_first(url: str, names: dict[str, Path]) -> list[str]:
    """Photos that do not find themselves first.

    By urllib3, which takes half as much CPU for a request as httpx.
    """
    fields = {"limit": "1", "store_query": "false", "near_duplicates": "keep"}
    client = urllib3.PoolManager(maxsize=SEARCHING, timeout=patient(30), retries=False)

    def finds_itself(item: tuple[str, Path]) -> bool:
        form = fields | {"image": (item[0], item[1].read_bytes())}
        answer = client.request("POST", f"{url}/v1/search", fields=form)
        assert answer.status == HTTPStatus.OK, answer.data
        return bool(answer.json()["results"][0]["image_id"] == item[0])

    with ThreadPoolExecutor(SEARCHING) as pool:
        found = list(pool.map(finds_itself, names.items()))
    client.clear()
    return [name for name, itself in zip(names, found, strict=True) if not itself]
