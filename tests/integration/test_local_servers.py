"""Our launchers of Kafka and MinIO, on the real servers."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from minio import Minio
from minio.notificationconfig import NotificationConfig, QueueConfig

from sightline.engine.errors import SightlineError
from sightline.engine.event_log.kafka.diagnosis import broker_answers
from sightline.infra.local.kafka_classes import archived_kafka
from sightline.infra.local.kafka_jars import class_archive, kept_checkpoint
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.local.server_process import ServerDidNotStart
from sightline.infra.local.toolchain import CACHE_VARIABLE, JAVA, cache_directory, locate
from tests.patience import patient
from tests.waiting import eventually


def produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    """Append one message and wait for its acknowledgement."""
    with Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"}) as producer:
        producer.produce(topic, value)
        assert producer.flush(patient(30)) == 0


def read(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    """The first messages of a topic of one partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": os.urandom(4).hex(),
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []

    def enough() -> bool:
        message = consumer.poll(0.2)
        value = message.value() if message is not None and message.error() is None else None
        if value is not None:
            values.append(value)
        return len(values) >= count

    try:
        eventually(enough, timeout_s=30, interval_s=0, reason=f"{count} messages in {topic}")
    finally:
        consumer.close()
    return values


def test_kafka_keeps_what_it_acknowledged_over_a_kill_and_a_stop(tmp_path: Path) -> None:
    """The same launcher starts again on the same data and port after SIGKILL and after a stop.

    Its JVM finds the classes archived: it would go without, but take half as long again.
    """
    archived_kafka()
    with LocalKafka(tmp_path / "broker") as broker:
        assert (
            class_archive(locate(JAVA)).name in Path("/proc", str(broker.pid), "maps").read_text()
        )
        begun = tmp_path / "broker" / "log" / kept_checkpoint().name
        assert begun.read_bytes() == kept_checkpoint().read_bytes(), "formatted without a JVM"
        servers = broker.bootstrap_servers
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(patient(30))
        produce(servers, "kept", b"before the kill")
        killed = broker.pid
        broker.kill()
        assert not broker_answers(servers, timeout_s=0.5)
        broker.start()
        assert broker.pid != killed
        produce(servers, "kept", b"before the stop")
        broker.stop()
        broker.start()
        assert broker.bootstrap_servers == servers
        assert read(servers, "kept", 2) == [b"before the kill", b"before the stop"]


def test_kafka_says_why_it_did_not_start(tmp_path: Path) -> None:
    """A refused property ends in one error that quotes the broker's log, which is kept."""
    broker = LocalKafka(tmp_path, overrides={"log.retention.ms": "not a number"})
    with pytest.raises(SightlineError, match="not a number"):
        broker.start()
    assert not broker.running


def test_kafka_port_taken_is_told(tmp_path: Path, kafka: str) -> None:
    """A broker whose port another one holds does not pass for started."""
    broker = LocalKafka(tmp_path, port=int(kafka.rpartition(":")[2]))
    with pytest.raises(ServerDidNotStart, match=r"port \d+ is taken"):
        broker.start()


def test_minio_keeps_what_it_acknowledged_over_a_kill_and_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same launcher starts again on the same data and port after SIGKILL and after a stop.

    It leaves nothing in the home of who starts it.
    """
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(cache_directory()))
    monkeypatch.setenv("HOME", str(home))
    source = tmp_path / "object"
    source.write_bytes(b"bytes")
    with LocalMinio(tmp_path / "store") as server:
        client = Minio(
            server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            secure=False,
        )
        client.make_bucket("kept")
        client.fput_object("kept", "a key/é", str(source))
        server.kill()
        server.start()
        assert client.stat_object("kept", "a key/é").size == 5
        server.stop()
        server.start()
        assert [found.object_name for found in client.list_objects("kept", recursive=True)] == [
            "a key/é"
        ]
    assert list(home.iterdir()) == []


def test_minio_bound_to_a_broker_that_is_down_starts_all_the_same(tmp_path: Path) -> None:
    """Notification targets are queued on disk, so the order of start does not matter."""
    notify = {"images": ("127.0.0.1:1", "bucket-notifications")}
    with LocalMinio(tmp_path, notify=notify) as server:
        assert server.running
        assert server.target("images") == "arn:minio:sqs::IMAGES:kafka"


def test_minio_notifies_the_broker_of_new_and_removed_objects(tmp_path: Path, kafka: str) -> None:
    """A bucket bound to a target sends one message for each object, keyed by bucket and key."""
    topic = f"notified-{os.urandom(4).hex()}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(patient(30))
    with LocalMinio(tmp_path, notify={"images": (kafka, topic)}) as server:
        client = Minio(
            server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            secure=False,
        )
        client.make_bucket("theirs")
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        target = QueueConfig(queue=server.target("images"), events=events)
        client.set_bucket_notification("theirs", NotificationConfig(queue_config_list=[target]))
        client.put_object("theirs", "été 1.jpg", io.BytesIO(b"bytes"), 5)
        client.remove_object("theirs", "été 1.jpg")
        names = [json.loads(value)["EventName"] for value in read(kafka, topic, 2)]
    assert names == ["s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"]
