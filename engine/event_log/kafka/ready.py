"""Waits until partitions that were made just now can be written and read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec, TopicMetadata

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.answers import answer_of
from sightline.engine.event_log.kafka.config import error_of

_INTERVAL_S = 0.05
_NO_LEADER = -1
_END: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_ASK_S = 2.0
"""For one question: a partition without a leader is not answered for, the client asks again."""


def await_partitions(admin: AdminClient, topics: Sequence[str], *, timeout_s: float) -> None:
    """Return when every partition of the topics has a leader that tells where the partition ends.

    KRaft acknowledges a topic before its brokers have heard of it: until then clients do not see
    it, its partitions have no leader, or the leader does not know yet that it is one.

    Args:
        admin: asks.
        topics: as the broker names them.
        timeout_s: for all of it.

    Raises:
        PartUnavailable: the broker did not answer, or something is not ready yet; names it.
    """
    deadline = time.monotonic() + timeout_s
    while (unready := next(_unready(admin, topics, timeout_s), None)) is not None:
        if time.monotonic() > deadline:
            raise PartUnavailable(
                Part.BROKER, f"created, but not ready after {timeout_s:g} s: {unready}"
            )
        time.sleep(_INTERVAL_S)


def _unready(admin: AdminClient, topics: Sequence[str], timeout_s: float) -> Iterator[str]:
    """What is not there yet, one after the other."""
    try:
        listed = admin.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise error_of(error, "listing topics") from error
    for topic in topics:
        yield from _leaderless(topic, listed.get(topic))
    places = [TopicPartition(name, p) for name in topics for p in listed[name].partitions]
    yield from _silent(admin, places, min(_ASK_S, timeout_s))


def _leaderless(topic: str, found: TopicMetadata | None) -> Iterator[str]:
    if found is None or found.error is not None or not found.partitions:
        yield f"the brokers do not list {topic}"
        return
    for number, partition in sorted(found.partitions.items()):
        if partition.leader == _NO_LEADER or partition.error is not None:
            yield f"partition {number} of {topic} has no leader"


def _silent(
    admin: AdminClient, places: Iterable[TopicPartition], timeout_s: float
) -> Iterator[str]:
    asked: dict[TopicPartition, Future[ListOffsetsResultInfo]] = admin.list_offsets(
        dict.fromkeys(places, _END), request_timeout=timeout_s
    )
    for place, answer in asked.items():
        try:
            answer_of(answer, 2 * timeout_s)
        except KafkaException as error:
            where = f"partition {place.partition} of {place.topic}"
            yield f"the leader of {where} does not answer: {error.args[0].str()}"
