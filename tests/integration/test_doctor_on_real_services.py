"""`sightline doctor` against a real broker and a real store, and against ports that lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sightline.engine.errors import ObjectDenied
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.settings import (
    IndexSettings,
    KafkaSettings,
    Mode,
    Settings,
    StoreSettings,
)
from sightline.infra.doctor.broker import check_broker
from sightline.infra.doctor.findings import Finding
from sightline.infra.doctor.index import check_index
from sightline.infra.doctor.store import check_store
from sightline.schemas.topics import TOPICS
from tests.json_server import answering
from tests.waiting import eventually


def services(**parts: Any) -> Settings:
    """Settings of the services mode."""
    return Settings(mode=Mode.SERVICES, **parts)


def by_part(found: Iterator[Finding]) -> dict[str, Finding]:
    """The last finding of each part."""
    return {finding.part: finding for finding in found}


def create_topics(settings: KafkaSettings) -> None:
    """Create every topic and wait until the broker's metadata shows them."""
    topics = KafkaTopics(settings)
    topics.ensure(TOPICS)
    eventually(lambda: topics.drift(TOPICS) == [], timeout_s=20)


def test_a_broker_in_order_is_told_as_such(kafka_settings: KafkaSettings) -> None:
    """After creation every topic is as the contracts say, with the prefix of the deployment."""
    settings = services(kafka=kafka_settings)
    before = by_part(check_broker(settings))
    assert before["broker"].ok
    assert "the first start creates them" in before["topics"].message
    create_topics(kafka_settings)
    after = by_part(check_broker(settings))
    assert after["topics"].ok
    assert str(len(TOPICS)) in after["topics"].message


def test_missing_topics_that_must_not_be_created_are_a_fault(kafka_settings: KafkaSettings) -> None:
    """Where a platform team owns the topics, the remedy is to ask for them."""
    owned = kafka_settings.model_copy(update={"create_topics": False})
    finding = by_part(check_broker(services(kafka=owned)))["topics"]
    assert not finding.ok
    assert f"{kafka_settings.topic_prefix}images.v1" in finding.message


def test_drift_between_broker_and_contracts_is_a_fault(kafka_settings: KafkaSettings) -> None:
    """A topic with another number of partitions is named."""
    create_topics(kafka_settings)
    other = kafka_settings.model_copy(update={"partitions": 5})
    finding = by_part(check_broker(services(kafka=other)))["topics"]
    assert not finding.ok
    assert "partitions" in finding.message


@pytest.mark.parametrize(
    ("servers", "remedy"),
    [("127.0.0.1:1", "make up"), ("no-such-host.invalid:9092", "host names")],
)
def test_a_broker_that_is_not_there_is_a_fault_with_a_remedy(servers: str, remedy: str) -> None:
    """A closed port and an unknown name have different remedies."""
    kafka = KafkaSettings(bootstrap_servers=servers, request_timeout_s=2.0)
    found = by_part(check_broker(services(kafka=kafka)))
    assert not found["broker"].ok
    assert remedy in found["broker"].remedy
    assert "topics" not in found


def test_tls_to_a_plain_broker_is_a_fault_with_a_remedy(kafka: str) -> None:
    """The wrong protocol never hangs and never passes."""
    settings = KafkaSettings(
        bootstrap_servers=kafka, security_protocol="SSL", request_timeout_s=2.0
    )
    finding = by_part(check_broker(services(kafka=settings)))["broker"]
    assert not finding.ok
    assert "kafka." in finding.remedy


def test_a_store_in_order_is_told_as_such(store_settings: StoreSettings) -> None:
    """A probe object is written, read, listed and deleted."""
    finding = by_part(check_store(services(store=store_settings)))["store"]
    assert finding.ok, finding


def test_a_bucket_that_keeps_what_is_deleted_is_a_fault(
    store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a rule ends old versions; who may not ask is told that."""
    settings = services(store=store_settings)
    monkeypatch.setattr(S3ObjectStore, "keeps_versions", lambda *_: True)
    finding = by_part(check_store(settings))["store"]
    assert not finding.ok
    assert "#a-bucket-with-versions" in finding.remedy
    monkeypatch.setattr(S3ObjectStore, "keeps_versions", _denied)
    finding = by_part(check_store(settings))["store"]
    assert finding.ok
    assert "may not be asked" in finding.message


def _denied(*_: object) -> bool:
    raise ObjectDenied("keeps_versions: AccessDenied")


def test_a_bucket_that_the_first_start_creates_is_no_fault(
    store_settings: StoreSettings,
) -> None:
    """Like topics that are missing: said, and not created by the doctor."""
    settings = store_settings.model_copy(update={"bucket": "not-there-at-all"})
    for _ in range(2):
        finding = by_part(check_store(services(store=settings)))["store"]
        assert finding.ok, finding
        assert finding.message == "no bucket not-there-at-all yet; the first start creates it"


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"access_key": "nobody"}, "store.access_key"),
        ({"secret_key": SecretStr("wrong")}, "SIGHTLINE_STORE__SECRET_KEY"),
        ({"endpoint": "127.0.0.1:1"}, "store.endpoint"),
        ({"tls": True}, "store.tls"),
    ],
)
def test_a_store_that_refuses_is_a_fault_with_its_remedy(
    store_settings: StoreSettings, change: dict[str, Any], remedy: str
) -> None:
    """Each refusal leads to the setting that is wrong."""
    settings = store_settings.model_copy(update={"timeout_s": 2.0, **change})
    finding = by_part(check_store(services(store=settings)))["store"]
    assert not finding.ok
    assert remedy in finding.remedy, finding


@pytest.mark.parametrize(
    ("status", "body", "ok", "told"),
    [
        (200, {"result": {"aliases": []}}, True, "no generation"),
        (
            200,
            {
                "result": {
                    "aliases": [{"alias_name": "sightline", "collection_name": "sightline-g1"}]
                }
            },
            True,
            "served by sightline-g1",
        ),
        (401, {}, False, "SIGHTLINE_INDEX__API_KEY"),
        (403, {}, False, "SIGHTLINE_INDEX__API_KEY"),
        (404, {}, False, "no Qdrant"),
        (200, {"hello": 1}, False, "index.url"),
    ],
)
def test_what_a_qdrant_address_answers_is_told(
    status: int, body: object, *, ok: bool, told: str
) -> None:
    """A server in order, one that wants a key, and one that is something else."""
    with answering(body, status) as url:
        finding = by_part(check_index(services(index=IndexSettings(url=url))))["index"]
    assert finding.ok is ok
    assert told in str(finding)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc/passwd", "qdrant:6333"])
def test_an_address_that_is_no_server_is_a_fault(url: str, tmp_path: Path) -> None:
    """A closed port, and an address that is none, are told the same way."""
    settings = services(index=IndexSettings(url=url, timeout_s=1), data_directory=tmp_path)
    finding = by_part(check_index(settings))["index"]
    assert not finding.ok
    assert finding.remedy
