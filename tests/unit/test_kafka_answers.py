"""What the broker is asked and never answers ends as an error that says so, whoever asks."""

from __future__ import annotations

import re
from concurrent.futures import Future
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log import kafka
from sightline.engine.event_log.kafka.answers import answer_of
from sightline.engine.event_log.kafka.config import error_of


def test_an_answer_that_does_not_come_is_the_brokers() -> None:
    """As one that librdkafka gave up waiting for."""
    with pytest.raises(KafkaException) as raised:
        answer_of(Future[None](), 0.0)
    told = error_of(raised.value, "creating topics")
    assert isinstance(told, PartUnavailable)
    assert "creating topics" in str(told)


def test_an_answer_is_handed_on() -> None:
    """Also the broker's own refusal."""
    said, refused = Future[int](), Future[int]()
    said.set_result(7)
    refused.set_exception(error := KafkaException("no"))
    assert answer_of(said, 0.0) == 7
    with pytest.raises(KafkaException) as raised:
        answer_of(refused, 0.0)
    assert raised.value is error


def test_everybody_waits_so() -> None:
    """A plain wait would end in an error that nobody maps."""
    folder = Path(str(kafka.__file__)).parent
    waits = {f.name for f in folder.glob("*.py") if re.search(r"\.result\(\w", f.read_text())}
    assert waits == {"answers.py"}
