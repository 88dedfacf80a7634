"""Waiting for partitions that were made just now, on a broker whose faults the test decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.ready import await_partitions
from sightline.schemas.topics import IMAGES
from tests.broker_faults import FaultyBroker, Request
from tests.patience import patient

TOPIC = IMAGES.name
PARTITIONS = 3
LONG_S = 60.0
END: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    """A broker with one topic."""
    broker = FaultyBroker([IMAGES], PARTITIONS)
    yield broker
    broker.close()


@pytest.fixture
def admin(broker: FaultyBroker) -> AdminClient:
    """Its client."""
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})


def test_what_is_ready_is_not_waited_for(admin: AdminClient) -> None:
    """Leaders that answer: it returns, also with no time to wait."""
    await_partitions(admin, [TOPIC], timeout_s=1)


def test_a_leader_that_does_not_know_yet_is_asked_again(
    broker: FaultyBroker, admin: AdminClient
) -> None:
    """The broker says that it is not the leader, twice: it is asked until it says where it ends."""
    broker.refuse(Request.LIST_OFFSETS, *[KafkaError.NOT_LEADER_FOR_PARTITION] * 2)
    await_partitions(admin, [TOPIC], timeout_s=30)
    place = TopicPartition(TOPIC, 0)
    assert admin.list_offsets({place: END})[place].result(patient(30)).offset == 0


def test_a_partition_without_a_leader_is_named(broker: FaultyBroker, admin: AdminClient) -> None:
    """After the time is over the error says which partition it waited for."""
    broker.depose(TOPIC, 1)
    with pytest.raises(
        PartUnavailable, match=r"0\.5 s: partition 1 of images\.v1 has no lead"
    ) as e:
        await_partitions(admin, [TOPIC], timeout_s=0.5)
    assert e.value.part is Part.BROKER


def test_an_election_ends_the_wait(broker: FaultyBroker, admin: AdminClient) -> None:
    """As soon as the partition has a leader, the wait is over."""
    broker.depose(TOPIC, 1)
    waiting = threading.Thread(
        target=await_partitions, args=(admin, [TOPIC]), kwargs={"timeout_s": LONG_S}
    )
    waiting.start()
    broker.elect(TOPIC, 1)
    waiting.join(patient(LONG_S))
    assert not waiting.is_alive()


def test_a_topic_that_never_comes_is_named(admin: AdminClient) -> None:
    """A created topic that no broker lists is an error, not an endless wait."""
    with pytest.raises(PartUnavailable, match="do not list nowhere"):
        await_partitions(admin, ["nowhere"], timeout_s=0.2)


def test_no_broker_is_told() -> None:
    """Nobody answers: the error says what was asked."""
    nobody = AdminClient({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})
    with pytest.raises(PartUnavailable, match="listing topics"):
        await_partitions(nobody, [TOPIC], timeout_s=0.5)
