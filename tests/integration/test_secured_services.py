"""A broker and a store as a platform team has them: TLS of an authority of their own, users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
import urllib3
from minio import Minio
from minio.sse import SseCustomerKey
from pydantic import SecretStr

from sightline.engine.clock import SystemClock
from sightline.engine.errors import ObjectRefused, PartUnavailable
from sightline.engine.event_log.kafka import (
    KafkaEventConsumer,
    KafkaEventProducer,
    read_topics,
)
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings, Mode, Settings, StoreSettings
from sightline.infra.doctor.broker import check_broker
from sightline.infra.doctor.findings import Finding
from sightline.infra.doctor.store import check_store
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.labels import Stage
from sightline.schemas.topics import IMAGES, TOPICS
from tests.integration.test_label_stages import PARTITIONS, RULES, assert_oracle
from tests.label_kafka import LabelPipeline
from tests.label_world import World
from tests.listening import Listener
from tests.patience import patient
from tests.secured import Authority, SecuredKafka, secured_kafka, secured_minio
from tests.waiting import eventually

MECHANISMS = ["PLAIN", "SCRAM-SHA-512", None]
"""None: a client certificate in place of a name and a password."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Nobody's system trusts it."""
    return Authority.made_in(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[SecuredKafka]:
    """A real broker behind TLS."""
    with secured_kafka(tmp_path_factory.mktemp("kafka"), authority) as running:
        yield running


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[StoreSettings]:
    """A real S3 server behind TLS."""
    with secured_minio(tmp_path_factory.mktemp("minio"), authority) as running:
        yield running


def _broker_finding(kafka: KafkaSettings) -> Finding:
    return next(iter(check_broker(Settings(mode=Mode.SERVICES, kafka=kafka))))


def _store_finding(store: StoreSettings) -> Finding:
    return next(iter(check_store(Settings(mode=Mode.SERVICES, store=store))))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_an_upload_is_published_and_read(
    broker: SecuredKafka, s3: StoreSettings, mechanism: str | None
) -> None:
    """Topics, bytes, event, consumer and doctor, each with the settings alone."""
    kafka = broker.settings(mechanism)
    KafkaTopics(kafka).ensure(TOPICS)
    with closing(S3ObjectStore(s3)) as store, closing(KafkaEventProducer(kafka)) as producer:
        store.ensure_bucket(s3.bucket)
        publisher = ImagePublisher(
            producer, store, bucket=s3.bucket, source="/test", clock=SystemClock()
        )
        published = publisher.upload(b"bytes", image_id="a", version=1, content_type="image/png")
    with closing(KafkaEventConsumer(kafka, group="readers")) as consumer:
        consumer.subscribe([IMAGES.name], Listener())
        [message] = eventually(lambda: consumer.poll(10, 0.2), timeout_s=60)
    assert (message.partition, message.offset) == (published.partition, published.offset)
    assert _broker_finding(kafka).ok
    assert _store_finding(s3).ok


def test_an_object_under_its_owners_own_key_is_refused_alone(s3: StoreSettings) -> None:
    """SSE-C, which only a server behind TLS takes: the store is up, and gives the next object."""
    assert s3.access_key
    assert s3.secret_key
    pool = urllib3.PoolManager(ca_certs=str(s3.ca_file))
    theirs = Minio(
        s3.endpoint,
        access_key=s3.access_key,
        secret_key=s3.secret_key.get_secret_value(),
        http_client=pool,
    )
    with closing(S3ObjectStore(s3)) as store:
        store.ensure_bucket(s3.bucket)
        store.put(s3.bucket, "open.jpg", b"bytes")
        theirs.put_object(
            s3.bucket, "sealed.jpg", BytesIO(b"bytes"), 5, sse=SseCustomerKey(bytes(32))
        )
        for read in (store.get, store.stat):
            with pytest.raises(ObjectRefused):
                read(s3.bucket, "sealed.jpg")
        assert store.get(s3.bucket, "open.jpg") == b"bytes"
    pool.clear()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_label_stages_are_let_in(
    broker: SecuredKafka, tmp_path: Path, mechanism: str | None
) -> None:
    """They reach the broker through another client, which is told the same settings."""
    pipeline = LabelPipeline(broker.settings(mechanism), RULES, tmp_path)
    pipeline.create()
    world = World(Random(21), sources=PARTITIONS, actors=9, anchors=5, rules=RULES)
    pipeline.write(world.run(1_000))
    try:
        pipeline.start(Stage.JOIN)
        pipeline.start(Stage.MINE)
        assert_oracle(pipeline)
    finally:
        pipeline.stop()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_named_and_never_told(broker: SecuredKafka, mechanism: str) -> None:
    """Doctor says which setting; a producer reports an error, not silence."""
    wrong = broker.settings(mechanism).model_copy(
        update={"sasl_password": SecretStr("not-the-one"), "delivery_timeout_s": 2.0}
    )
    finding = _broker_finding(wrong)
    assert not finding.ok
    assert "SIGHTLINE_KAFKA__SASL_PASSWORD" in str(finding)
    assert "not-the-one" not in str(finding)
    with closing(KafkaEventProducer(wrong)) as producer, pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(IMAGES.name, "k", b"{}")).result(patient(30))


def test_an_authority_that_is_not_trusted_is_named(broker: SecuredKafka, s3: StoreSettings) -> None:
    """Without the CA file neither is spoken to."""
    kafka = _broker_finding(broker.settings("PLAIN").model_copy(update={"ca_file": None}))
    assert not kafka.ok
    assert "kafka.ca_file" in str(kafka)
    store = _store_finding(s3.model_copy(update={"ca_file": None}))
    assert not store.ok
    assert "store.ca_file" in str(store)


def test_a_client_without_a_certificate_is_not_let_in(broker: SecuredKafka) -> None:
    """Mutual TLS means both."""
    nobody = broker.settings(None).model_copy(update={"certificate_file": None, "key_file": None})
    assert not _broker_finding(nobody).ok


def test_topics_that_must_not_be_created_are_asked_for(broker: SecuredKafka) -> None:
    """A managed cluster's topics belong to its owners: doctor says what to ask for."""
    kafka = broker.settings("PLAIN").model_copy(update={"create_topics": False})
    findings = list(check_broker(Settings(mode=Mode.SERVICES, kafka=kafka)))
    assert [finding.part for finding in findings if not finding.ok] == ["topics"]
    assert kafka.topic_prefix + IMAGES.name in str(findings[-1])


def test_prefixes_keep_deployments_apart(broker: SecuredKafka) -> None:
    """The topics of one deployment are not those of another on the same cluster."""
    mine, theirs = broker.settings("PLAIN"), broker.settings("SCRAM-SHA-512")
    for kafka in (mine, theirs):
        KafkaTopics(kafka).ensure([IMAGES])
    with closing(KafkaEventProducer(mine)) as producer:
        producer.append(ProducerRecord(IMAGES.name, "k", b"{}")).result(patient(30))
    assert len(list(read_topics(mine, [IMAGES.name]))) == 1
    assert list(read_topics(theirs, [IMAGES.name])) == []
