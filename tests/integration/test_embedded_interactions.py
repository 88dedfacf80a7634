"""The embedded log and what people do: refused where the broker would drop it, never dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from sightline.engine.connecting.connections import EMBEDDED_PARTITIONS
from sightline.engine.errors import Overloaded
from sightline.engine.event_log.kafka import KafkaEventConsumer, read_topics
from sightline.engine.event_log.kafka.offsets import start_offsets
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.records import Message, ProducerRecord
from sightline.infra.wiring.embedded import embedded_node
from sightline.infra.wiring.node import Node
from sightline.schemas.topics import INTERACTIONS
from sightline.stream_workers.labels.groups import join_group
from tests.asking import embedded
from tests.listening import Listener
from tests.patience import patient
from tests.waiting import eventually

ACTOR = "ann"
SIZE_BYTES = 50_000
BROKER_HOLDS = 5 * 1024 * 1024 // SIZE_BYTES


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """An owner's parts, of which no stage runs."""
    with embedded_node(embedded(tmp_path / "data", learns=True)) as opened:
        yield opened


def accepted(node: Node, actor: str, *, at_most: int) -> list[Future[Message]]:
    """Beacons of one actor that were taken before one was refused."""
    taken: list[Future[Message]] = []
    for _ in range(at_most):
        try:
            taken.append(
                node.events.producer.append(
                    ProducerRecord(INTERACTIONS.name, actor, b"x" * SIZE_BYTES)
                )
            )
        except Overloaded:
            break
    for future in taken:
        future.result(patient(30))
    return taken


def somebody(wanted: Callable[[int], bool]) -> str:
    """An actor whose partition is a wanted one."""
    names = (f"actor-{number}" for number in range(1_000))
    return next(name for name in names if wanted(partition_of(name, EMBEDDED_PARTITIONS)))


def test_what_the_join_still_needs_is_never_pushed_out(node: Node) -> None:
    """Without a join at work, one is refused before the broker's memory is full; all is there."""
    taken = accepted(node, ACTOR, at_most=2 * BROKER_HOLDS)
    assert BROKER_HOLDS // 2 < len(taken) < BROKER_HOLDS
    number = partition_of(ACTOR, EMBEDDED_PARTITIONS)
    assert {future.result().partition for future in taken} == {number}
    assert len(list(read_topics(node.events.kafka, [INTERACTIONS.name]))) == len(taken)
    other = somebody(lambda place: place != number)
    assert len(accepted(node, other, at_most=3)) == 3


def test_commits_of_the_join_make_room(node: Node) -> None:
    """What its closed epochs no longer need."""
    taken = accepted(node, ACTOR, at_most=2 * BROKER_HOLDS)
    group = join_group(node.settings.labels, INTERACTIONS.name)
    consumer = KafkaEventConsumer(node.events.kafka, group=group)
    consumer.subscribe([INTERACTIONS.name], Listener())
    at = taken[0].result().topic_partition
    eventually(lambda: consumer.poll(10, 0.1), timeout_s=30)
    consumer.commit({at: len(taken)})
    consumer.close()
    found = start_offsets(node.events.kafka, group, INTERACTIONS.name, [at.partition])
    assert found == {at.partition: len(taken)}
    eventually(lambda: accepted(node, ACTOR, at_most=1), timeout_s=30)


def test_without_a_join_nothing_is_held_back(tmp_path: Path) -> None:
    """`labels.supervised` off: nobody would ever make room, and nothing is learned anyway."""
    with embedded_node(embedded(tmp_path / "data", learns=False)) as node:
        assert len(accepted(node, ACTOR, at_most=2 * BROKER_HOLDS)) == 2 * BROKER_HOLDS
