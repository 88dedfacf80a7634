"""The index worker while broker or store is away: waited out, named, nothing lost or dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from sightline.engine.errors import Part
from sightline.engine.settings import KafkaSettings, StoreSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.schemas.fields import Visibility
from sightline.schemas.indexed import Outcome
from tests.indexing import FAST, Indexing
from tests.waiting import eventually

PATIENT = FAST.model_copy(update={"drain_s": 1.0})


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker that this test may kill."""
    with LocalKafka(tmp_path / "kafka") as server:
        yield server


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[LocalMinio]:
    """A store that this test may kill."""
    with LocalMinio(tmp_path / "minio") as server:
        yield server


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_killed_broker_is_waited_out(
    broker: LocalKafka, store_settings: StoreSettings, tmp_path: Path
) -> None:
    """Killed in the middle of work and started again: everything is indexed and told once."""
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers, partitions=3, session_timeout_s=6.0
    )
    with Indexing(kafka, store_settings, tmp_path / "index") as indexing:
        for number in range(40):
            indexing.publish(indexing.public(f"i{number}", 1, f"picture {number}".encode()))
        running = indexing.worker(PATIENT)
        eventually(lambda: indexing.index.count() >= 5)
        broker.kill()
        broker.start()
        for number in range(40, 60):
            indexing.publish(indexing.public(f"i{number}", 1, f"picture {number}".encode()))
        indexing.wait_listed(60, timeout_s=40)
        eventually(lambda: len({told.image_id for told in indexing.told()}) == 60, timeout_s=30)
        assert not indexing.dead_letters()
        assert running.failure is None


def test_a_killed_store_is_waited_out_and_named(
    kafka_settings: KafkaSettings, objects: LocalMinio, tmp_path: Path
) -> None:
    """Readiness names the store, what hides still applies, and what waited is indexed after."""
    store = StoreSettings(
        endpoint=objects.endpoint,
        bucket="pictures",
        access_key=objects.access_key,
        secret_key=SecretStr(objects.secret_key),
        timeout_s=2.0,
    )
    with Indexing(kafka_settings, store, tmp_path / "index") as indexing:
        indexing.store.ensure_bucket(store.bucket)
        shown = indexing.public("shown", 1, b"shown")
        later = [indexing.public(f"i{n}", 1, f"picture {n}".encode()) for n in range(100)]
        other = indexing.put(b"other bytes")
        indexing.publish(shown)
        running = indexing.worker(PATIENT)
        indexing.wait_listed(1)
        objects.kill()
        for state in later:
            indexing.publish(state)
        private = {"version": 2, "visibility": Visibility.PRIVATE, "object": other}
        indexing.publish(shown.model_copy(update=private))
        indexing.wait_listed(0, timeout_s=30)
        assert not indexing.health.is_up(Part.STORE)
        objects.start()
        indexing.wait_listed(100, timeout_s=40)
        indexing.wait_outcome("shown", Outcome.HIDDEN)
        eventually(lambda: indexing.health.is_up(Part.STORE))
        assert not indexing.dead_letters()
        assert running.failure is None
