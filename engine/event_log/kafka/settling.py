"""Questions that a broker cannot answer yet: of a topic or a group that it has only just made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

T = TypeVar("T")
_SETTLING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
_PAUSE_S = 0.05


def settled(ask: Callable[[], T], *, timeout_s: float) -> T:
    """Asks again until a leader or a coordinator has been found.

    Raises:
        KafkaException: there was none for `timeout_s`, or it is about something else.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _SETTLING or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)


def committed_offsets(
    consumer: Consumer, places: Sequence[TopicPartition], *, timeout_s: float
) -> list[TopicPartition]:
    """What the consumer's group has committed at each place; a negative offset: nothing.

    Raises:
        KafkaException: the broker did not answer for `timeout_s`.
    """
    return settled(lambda: consumer.committed(list(places), timeout=timeout_s), timeout_s=timeout_s)


def watermarks(consumer: Consumer, place: TopicPartition, *, timeout_s: float) -> tuple[int, int]:
    """Where a partition starts and ends.

    Raises:
        KafkaException: the broker did not answer for `timeout_s`.
    """
    low, high = settled(
        lambda: consumer.get_watermark_offsets(place, timeout=timeout_s), timeout_s=timeout_s
    )
    return int(low), int(high)
