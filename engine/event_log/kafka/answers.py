"""What librdkafka was asked in, its answer out: never an error of another kind than its own."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")


def answer_of(asked: Future[T], timeout_s: float) -> T:
    """Wait for an answer.

    Raises:
        KafkaException: the broker refused, or there was no answer in time: on a busy machine the
            client tells its own time-out later than this one.
    """
    try:
        return asked.result(timeout_s)
    except TimeoutError as error:
        timed_out = getattr(KafkaError, "_TIMED_OUT")  # noqa: B009 - private by vendor's name
        raise KafkaException(KafkaError(timed_out)) from error
