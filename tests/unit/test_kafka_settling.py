"""A broker that has just begun is asked again; one that says no is not."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from sightline.engine.event_log.kafka.settling import settled


class Answers:
    """Fails with these codes, one after the other, then answers."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def __call__(self) -> str:
        """The next answer."""
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return "answer"


def test_leaders_and_coordinators_are_waited_for() -> None:
    """Both come a moment after the topic, or after a broker's first group."""
    ask = Answers(
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    )
    assert settled(ask, timeout_s=60) == "answer"


def test_other_errors_are_raised_at_once() -> None:
    """A refusal does not become an answer by asking again."""
    ask = Answers(KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        settled(ask, timeout_s=60)
    assert ask.codes == []


def test_the_wait_has_an_end() -> None:
    """A coordinator that never comes is an error in the end."""
    ask = Answers(*[KafkaError.NOT_COORDINATOR] * 100)
    with pytest.raises(KafkaException):
        settled(ask, timeout_s=0.1)
