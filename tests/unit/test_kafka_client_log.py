"""What Kafka clients have to say reaches logging, each thing once, and never standard error."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from sightline.engine.clock import ManualClock
from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.event_log.kafka.clients import (
    REPEAT_S,
    OncePerMinute,
    log_client_error,
    open_consumer,
)
from sightline.engine.logs import JsonFormatter
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings, Mode, Settings, StoreSettings
from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.schemas.topics import IMAGES
from tests.patience import patient
from tests.processes import sightline
from tests.waiting import eventually

REFUSED = getattr(KafkaError, "_TRANSPORT")  # noqa: B009 - the vendor's name
ALL_DOWN = getattr(KafkaError, "_ALL_BROKERS_DOWN")  # noqa: B009


def nobody() -> KafkaSettings:
    """A broker that does not exist, at an address that no other test has used."""
    return KafkaSettings(
        bootstrap_servers=f"{LOOPBACK}:{free_port()}",
        request_timeout_s=1.0,
        delivery_timeout_s=1.0,
    )


def record(message: str) -> logging.LogRecord:
    """A line of a log."""
    return logging.makeLogRecord({"msg": message})


def test_a_line_is_told_again_after_a_minute() -> None:
    """Other lines pass meanwhile."""
    clock = ManualClock()
    once = OncePerMinute(clock.monotonic)
    assert once.filter(record("gone"))
    assert not once.filter(record("gone"))
    assert once.filter(record("slow"))
    clock.advance(REPEAT_S)
    assert once.filter(record("gone"))


def test_attempts_that_fail_alike_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the time that an attempt took, nor who made it, nor the sum of it is news."""
    where = f"{LOOPBACK}:{free_port()}"
    for took in ("0ms in state CONNECT", "1ms in state CONNECT, 3 identical error(s) suppressed"):
        for name in (where, f"{where}/bootstrap"):
            said = f"{name}: Connection refused (after {took})"
            log_client_error(KafkaError(REFUSED, said))
    log_client_error(KafkaError(ALL_DOWN, "1/1 brokers are down"))
    assert caplog.messages == [f"kafka: {where}: Connection refused"]


def test_a_producer_says_nothing_on_standard_error(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that is away is one line of the log, however often it is tried."""
    settings = nobody()
    producer = KafkaEventProducer(settings)
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(IMAGES.name, "cat", b"1")).result(patient(30))
    producer.close()
    assert capfd.readouterr().err == ""
    [line] = caplog.messages
    assert line.startswith(f"kafka: {settings.bootstrap_servers}: ")
    assert line.endswith("Connection refused")
    as_json = json.loads(JsonFormatter().format(caplog.records[0]))
    assert (as_json["level"], as_json["message"]) == ("warning", line)


def test_what_the_library_logs_besides_reaches_the_log(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a setting that it does not heed."""
    consumer = open_consumer(nobody(), "readers", acks="all")
    eventually(lambda: consumer.poll(0.05) or "CONFWARN" in caplog.text, reason="a warning")
    consumer.close()
    assert capfd.readouterr().err == ""
    assert "FAIL" not in caplog.text


def test_a_command_says_one_line_of_the_broker_and_one_of_the_end(tmp_path: Path) -> None:
    """`sightline dlq list` without a broker: where it is missing, and what to do."""
    settings = Settings(
        mode=Mode.SERVICES,
        data_directory=tmp_path,
        kafka=nobody(),
        store=StoreSettings(directory=tmp_path),
    )
    ended: subprocess.CompletedProcess[str] = sightline("dlq", "list", settings=settings)
    assert ended.returncode == 1
    *told, last = ended.stderr.splitlines()
    assert last.startswith("sightline: broker: ")
    assert "sightline doctor" in last
    assert len(told) <= 1
    assert all(settings.kafka.bootstrap_servers in line for line in told)
