"""Both clients on real Kafka and MinIO: acknowledged or an error, in order, never silence."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Part, PartUnavailable, SettingsInvalid, TopicDrift
from sightline.engine.event_log.embedded.bounded_producer import (
    BoundedEventProducer,
    CommittedOffsets,
)
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.engine.event_log.kafka import (
    KafkaEventConsumer,
    KafkaEventProducer,
    client_config,
    read_topics,
)
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import KafkaSettings, Settings, StoreSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.producers.backfill.ends import FileEnd
from sightline.producers.backfill.run import run_backfill
from sightline.producers.images.published import Written
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageChanged, ImageDeleted, ImageUploaded
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, TOPICS
from tests.conftest import ROOT
from tests.listening import Listener
from tests.patience import patient
from tests.waiting import eventually


@pytest.fixture
def publisher(
    kafka_settings: KafkaSettings, store_settings: StoreSettings
) -> Iterator[ImagePublisher]:
    """A publisher to a corner of the real broker and the real store."""
    KafkaTopics(kafka_settings).ensure(TOPICS)
    producer = KafkaEventProducer(kafka_settings)
    store = S3ObjectStore(store_settings)
    yield ImagePublisher(
        producer, store, bucket=store_settings.bucket, source="/test", clock=SystemClock()
    )
    producer.close()
    store.close()


def events(settings: KafkaSettings, topic: str = IMAGES.name) -> list[Event[Any]]:
    """What the topic holds."""
    return [decode(message.value) for message in read_topics(settings, [topic])]


def test_an_upload_is_stored_and_acknowledged(
    publisher: ImagePublisher, kafka_settings: KafkaSettings
) -> None:
    """When `upload` returns, the bytes are in the store and the event is where it says."""
    published = publisher.upload(b"jpeg", image_id="cat", version=1, tags=["a"])
    [message] = read_topics(kafka_settings, [IMAGES.name])
    assert (message.partition, message.offset) == (published.partition, published.offset)
    assert message.timestamp == published.appended
    assert [name for name, _ in message.headers] == ["traceparent"]
    event = decode(message.value)
    assert (event.id, event.source, event.subject) == (published.event_id, "/test", "cat")
    state = event.data
    assert isinstance(state, ImageUploaded)
    assert (state.visibility, state.tags) == (Visibility.PRIVATE, ("a",))
    assert publisher.store.get(state.object.bucket, state.object.key) == b"jpeg"


def test_an_images_events_keep_their_order(
    publisher: ImagePublisher, kafka_settings: KafkaSettings
) -> None:
    """Without waiting in between, versions of one image lie in one partition in order."""
    publisher.upload(b"jpeg", image_id="cat", version=0)
    [uploaded] = [event.data for event in events(kafka_settings)]
    futures: list[Future[Written]] = [
        publisher.publish(ImageChanged.model_validate(uploaded.model_dump() | {"version": version}))
        for version in range(1, 200)
    ]
    publisher.producer.flush(patient(30))
    offsets = [future.result(0).offset for future in futures]
    assert offsets == sorted(offsets)
    assert [event.data.version for event in events(kafka_settings)] == list(range(200))


def test_the_asyncio_client_does_the_same(
    publisher: ImagePublisher, kafka_settings: KafkaSettings
) -> None:
    """Upload, change and delete, awaited, fifty images at once."""

    async def life(client: AsyncImagePublisher, image_id: str) -> list[Written]:
        first = await client.upload(b"jpeg", image_id=image_id, version=1)
        state = ImageUploaded(
            image_id=image_id,
            version=1,
            object={"bucket": "things", "key": "k", "size_bytes": 4},
        )
        second = await client.change(state, version=2, tags=["x"])
        return [first, second, await client.delete(state, version=3)]

    async def all_lives() -> list[list[Written]]:
        client = AsyncImagePublisher(publisher)
        return await asyncio.gather(*(life(client, f"i{number}") for number in range(50)))

    lives = asyncio.run(all_lives())
    assert {tuple(p.version for p in life) for life in lives} == {(1, 2, 3)}
    whole_life: list[type[EventData]] = [ImageUploaded, ImageChanged, ImageDeleted]
    kinds: dict[str, list[type[EventData]]] = {}
    for event in events(kafka_settings):
        kinds.setdefault(event.subject, []).append(type(event.data))
    assert len(kinds) == 50
    assert all(life == whole_life for life in kinds.values())


def test_a_bound_is_checked_before_anything_is_stored(publisher: ImagePublisher) -> None:
    """An argument that breaks the contract is an error at once; the store stays empty."""
    with pytest.raises(ValidationError):
        publisher.upload(b"jpeg", image_id="no blanks", version=1)
    with pytest.raises(ValidationError):
        publisher.upload(b"jpeg", image_id="cat", version=-1)
    for dots in (".", ".."):
        with pytest.raises(ValidationError, match="no URL"):
            publisher.upload(b"jpeg", image_id=dots, version=1)
    assert list(publisher.store.list(publisher.bucket, "")) == []


def test_a_broker_killed_in_between_is_an_error_in_time(
    tmp_path: Path, store_settings: StoreSettings
) -> None:
    """After a kill an upload ends as `PartUnavailable` within its time; restarted, it goes on."""
    clock = SystemClock()
    with LocalKafka(tmp_path / "kafka") as broker:
        settings = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers, partitions=1, delivery_timeout_s=3.0
        )
        KafkaTopics(settings).ensure([IMAGES])
        producer = KafkaEventProducer(settings)
        store = S3ObjectStore(store_settings)
        client = ImagePublisher(
            producer, store, bucket=store_settings.bucket, source="/test", clock=clock
        )
        client.upload(b"1", image_id="cat", version=1)
        broker.kill()
        started = clock.monotonic()
        with pytest.raises(PartUnavailable) as caught:
            client.upload(b"2", image_id="cat", version=2)
        assert caught.value.part is Part.BROKER
        assert clock.monotonic() - started < settings.delivery_timeout_s + patient(3)
        with pytest.raises(PartUnavailable):
            asyncio.run(AsyncImagePublisher(client).upload(b"2", image_id="cat", version=2))
        broker.start()
        eventually(lambda: _works(client), timeout_s=60, reason="publishing again")
        producer.close()
        store.close()
        assert {event.data.version for event in events(settings)} >= {1, 3}


def _works(client: ImagePublisher) -> bool:
    try:
        client.upload(b"3", image_id="cat", version=3)
    except PartUnavailable:
        return False
    return True


def test_a_store_that_is_down_publishes_nothing(kafka_settings: KafkaSettings) -> None:
    """Bytes first: without them there is no event."""
    KafkaTopics(kafka_settings).ensure(TOPICS)
    producer = KafkaEventProducer(kafka_settings)
    down = StoreSettings(endpoint="127.0.0.1:9", access_key="a", secret_key=SecretStr("b"))
    client = ImagePublisher(
        producer, S3ObjectStore(down), bucket="things", source="/test", clock=SystemClock()
    )
    with pytest.raises(PartUnavailable) as caught:
        client.upload(b"1", image_id="cat", version=1)
    assert caught.value.part is Part.STORE
    producer.close()
    assert events(kafka_settings) == []


def test_topics_are_created_once_and_drift_is_told(kafka_settings: KafkaSettings) -> None:
    """Creating is idempotent; another partition count or configuration is a sentence."""
    topics = KafkaTopics(kafka_settings)
    assert topics.drift([IMAGES]) == [
        f"topic {kafka_settings.topic_prefix}images.v1 does not exist"
    ]
    assert sorted(topics.ensure(TOPICS)) == sorted(topic.name for topic in TOPICS)
    assert topics.ensure(TOPICS) == []
    assert topics.drift(TOPICS) == []
    other = KafkaTopics(kafka_settings.model_copy(update={"partitions": 5}))
    [sentence] = other.drift([IMAGES])
    assert sentence.endswith("has 3 partitions, the code says 5")


def test_where_topics_belong_to_others_nothing_is_created(kafka_settings: KafkaSettings) -> None:
    """`create_topics = false` names what is missing and creates none of it."""
    theirs = KafkaTopics(kafka_settings.model_copy(update={"create_topics": False}))
    with pytest.raises(TopicDrift, match=r"images\.v1"):
        theirs.ensure(TOPICS)
    KafkaTopics(kafka_settings).ensure(TOPICS)
    assert theirs.ensure(TOPICS) == []


def test_nobody_there_is_told_in_time() -> None:
    """A broker that does not exist is `PartUnavailable` from topics, reader and producer."""
    nobody = KafkaSettings(
        bootstrap_servers="127.0.0.1:9", request_timeout_s=1.0, delivery_timeout_s=1.0
    )
    with pytest.raises(PartUnavailable):
        KafkaTopics(nobody).ensure(TOPICS)
    with pytest.raises(PartUnavailable):
        list(read_topics(nobody, [IMAGES.name]))
    producer = KafkaEventProducer(nobody)
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(IMAGES.name, "a", b"1")).result(patient(10))
    producer.close()


def test_credentials_reach_the_client_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """TLS and SASL settings become librdkafka's; a wrong password is never quoted."""
    secret = "hunter2-" + uuid.uuid4().hex
    settings = KafkaSettings(
        bootstrap_servers="127.0.0.1:9",
        security_protocol="SASL_PLAINTEXT",
        sasl_username="shop",
        sasl_password=SecretStr(secret),
        request_timeout_s=1.0,
    )
    assert client_config(settings)["sasl.password"] == secret
    with caplog.at_level(logging.DEBUG), pytest.raises(PartUnavailable) as caught:
        KafkaTopics(settings).ensure(TOPICS)
    assert secret not in str(caught.value) + repr(settings) + caplog.text
    with pytest.raises(SettingsInvalid, match="sasl_username"):
        client_config(settings.model_copy(update={"sasl_username": None}))
    tls = KafkaSettings(security_protocol="SSL", ca_file=Path("/never/there.pem"))
    with pytest.raises(SettingsInvalid, match=r"there\.pem"):
        client_config(tls)


def test_the_photos_are_backfilled(
    publisher: ImagePublisher, kafka_settings: KafkaSettings, photos: Path, tmp_path: Path
) -> None:
    """A hundred photos through the real parts: each acknowledged once, on the backfill lane."""
    names = sorted(path.name for path in (photos / "images").iterdir())[:100]
    manifest = tmp_path / "hundred.csv"
    manifest.write_text("path\n" + "\n".join(f"images/{name}" for name in names) + "\n")
    summary = run_backfill(publisher, photos, manifest=manifest, visibility=Visibility.PUBLIC)
    assert summary.counts == {FileEnd.PUBLISHED: 100}
    states = [event.data for event in events(kafka_settings, IMAGES_BACKFILL.name)]
    assert len({state.image_id for state in states}) == len(states) == 100
    first = states[0].object
    assert publisher.store.stat(first.bucket, first.key).size_bytes == first.size_bytes


def test_the_in_process_broker_drops_nothing_behind_the_bound() -> None:
    """Forty times its memory goes through it, since the producer is refused till commits."""
    broker = InProcessBroker([IMAGES], 1)
    settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, session_timeout_s=6.0)
    committed = CommittedOffsets(settings)
    producer = BoundedEventProducer(KafkaEventProducer(settings), lambda _: ["workers"], committed)
    consumer = KafkaEventConsumer(settings, group="workers")
    consumer.subscribe([IMAGES.name], Listener())
    value = b"x" * 200_000
    seen: list[int] = []
    sent = 0

    def step() -> bool:
        nonlocal sent
        try:
            while sent < 200:
                producer.append(ProducerRecord(IMAGES.name, "a", value))
                sent += 1
        except PartUnavailable:
            pass
        messages: list[Message] = consumer.poll(10, 0.05)
        seen.extend(message.offset for message in messages)
        if messages:
            consumer.commit({messages[-1].topic_partition: messages[-1].offset + 1})
        return len(seen) == 200

    eventually(step, timeout_s=60, interval_s=0, reason="200 messages")
    assert seen == list(range(200))
    consumer.close()
    producer.close()
    committed.close()
    broker.close()


def test_the_documented_example_works(
    kafka_settings: KafkaSettings,
    store_settings: StoreSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The Python of `docs/publishing.md`, run as it stands, publishes what it says."""
    KafkaTopics(kafka_settings).ensure(TOPICS)
    page = (ROOT / "docs" / "publishing.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert examples
    _use(monkeypatch, Settings(kafka=kafka_settings, store=store_settings))
    for example in examples:
        exec(compile(example, "docs/publishing.md", "exec"), {"__name__": "example"})  # noqa: S102 - our own page
    published = events(kafka_settings)
    kinds = [event.type.split(".")[2] for event in published]
    assert kinds == ["uploaded", "changed", "deleted"]


def _use(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    kafka, store = settings.kafka, settings.store
    assert store.secret_key is not None
    for name, value in {
        "MODE": "services",
        "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "STORE__ENDPOINT": store.endpoint,
        "STORE__BUCKET": store.bucket,
        "STORE__ACCESS_KEY": store.access_key or "",
        "STORE__SECRET_KEY": store.secret_key.get_secret_value(),
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
