"""What only the log in memory has: faults that a test switches on, and groups without waiting."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from contextlib import closing
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.errors import Overloaded, Part, PartUnavailable
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.consumer import MemoryEventConsumer
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.group import shared_out
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.records import ProducerRecord, TopicPartition
from sightline.schemas.topics import IMAGES
from tests.listening import Listener

TOPIC = IMAGES.name


def member(broker: MemoryBroker) -> tuple[MemoryEventConsumer, Listener]:
    """A member of the only group."""
    consumer, listener = MemoryEventConsumer(broker, group="g"), Listener()
    consumer.subscribe([TOPIC], listener)
    return consumer, listener


def test_a_member_that_was_silent_is_told_what_it_lost() -> None:
    """Another has its partitions by then; with its next poll it is in the group again."""
    broker = MemoryBroker([IMAGES], 4, polls_wait=False)
    silent, its = member(broker)
    silent.poll(1, 0)
    other, theirs = member(broker)
    silent.expire()
    other.poll(1, 0)
    assert theirs.told == ["assigned 4"]
    silent.poll(1, 0)
    other.poll(1, 0)
    silent.poll(1, 0)
    assert its.told == ["assigned 4", "lost 4", "assigned 2"]
    assert theirs.told == ["assigned 4", "revoked 2"]


def test_a_member_that_leaves_is_told_what_goes() -> None:
    """As by Kafka's client; the listener may commit then."""
    broker = MemoryBroker([IMAGES], 4, polls_wait=False)
    consumer, listener = member(broker)
    consumer.poll(1, 0)
    consumer.close()
    consumer.close()
    assert listener.told == ["assigned 4", "revoked 4"]


def test_a_broker_that_is_down_is_told_once_by_polls_and_always_by_the_rest() -> None:
    """Nothing appended meanwhile is there; afterwards everything goes on where it was."""
    broker = MemoryBroker([IMAGES], 1, polls_wait=False)
    producer = MemoryEventProducer(broker)
    consumer, _ = member(broker)
    producer.append(ProducerRecord(TOPIC, "cat", b"0")).result(0)
    consumer.poll(1, 0)
    broker.down = True
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(TOPIC, "cat", b"1")).result(0)
    with pytest.raises(PartUnavailable):
        consumer.poll(1, 0)
    assert consumer.poll(1, 0) == []
    for call in (consumer.ask, lambda: consumer.commit({TopicPartition(TOPIC, 0): 1})):
        with pytest.raises(PartUnavailable):
            call()
    broker.down = False
    producer.append(ProducerRecord(TOPIC, "cat", b"2")).result(0)
    assert [m.value for m in consumer.poll(9, 0)] == [b"2"]


def test_a_queue_can_be_full_for_chosen_appends() -> None:
    """What was refused is not there; records appended one by one or by batch are counted alike."""
    broker = MemoryBroker([IMAGES], 1)
    producer = MemoryEventProducer(broker)
    producer.refusals = [None, Overloaded(Part.BROKER, "full"), Overloaded(Part.BROKER, "full")]
    producer.append(ProducerRecord(TOPIC, "cat", b"0")).result(0)
    for append in (producer.append, producer.batch().append):
        with pytest.raises(Overloaded):
            append(ProducerRecord(TOPIC, "cat", b"1"))
    producer.append(ProducerRecord(TOPIC, "cat", b"2")).result(0)
    assert [m.value for m in broker.records(TOPIC)] == [b"0", b"2"]


@pytest.mark.parametrize("lost", [True, False])
def test_acknowledgements_can_be_late_or_lost(*, lost: bool) -> None:
    """The records are there before; a batch, too, hears nothing until then."""
    broker = MemoryBroker([IMAGES], 1)
    producer = MemoryEventProducer(broker)
    producer.answer = Future()
    sent = producer.append(ProducerRecord(TOPIC, "cat", b"1"))
    batch = producer.batch()
    batch.append(ProducerRecord(TOPIC, "cat", b"2"))
    sealed = batch.seal()
    (first, _) = broker.records(TOPIC)
    assert [sent.done(), sealed.done()] == [False, False]
    if lost:
        producer.answer.set_exception(error := PartUnavailable(Part.BROKER, "not acknowledged"))
        assert [sent.exception(), sealed.exception()] == [error, error]
    else:
        producer.answer.set_result(first)
        assert (sent.result(0), sealed.result(0)) == (first, 1)
    producer.answer = None
    assert producer.append(ProducerRecord(TOPIC, "cat", b"3")).result(0).offset == 2


def test_a_batch_fails_as_soon_as_one_of_its_records_did() -> None:
    """Also where an earlier one is not answered yet, and whatever answer is set."""
    broker = MemoryBroker([IMAGES], 1)
    producer = MemoryEventProducer(broker)
    producer.answer = Future()
    batch = producer.batch()
    batch.append(ProducerRecord(TOPIC, "cat", b"1"))
    broker.down = True
    batch.append(ProducerRecord(TOPIC, "cat", b"2"))
    with pytest.raises(PartUnavailable):
        batch.seal().result(0)


def test_a_group_comes_into_being_under_the_lock() -> None:
    """Else two who ask for it at once may each get one, and one commits to nobody."""
    broker = MemoryBroker([IMAGES], 1)
    log, at = MemoryEventLog(broker), TopicPartition(TOPIC, 0)
    MemoryEventProducer(broker).append(ProducerRecord(TOPIC, "cat", b"1")).result(0)
    with closing(log.follow(TOPIC, {0: 0}, group="follower")) as follower:
        askers = [
            Thread(target=lambda: MemoryEventConsumer(broker, group="member")),
            Thread(target=lambda: log.start_offsets("starting", TOPIC, [0])),
            Thread(target=lambda: follower.commit({at: 1})),
        ]
        with broker.changed:
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join(0.1)
            assert broker.groups == {}
        for asker in askers:
            asker.join()
    assert set(broker.groups) == {"member", "starting", "follower"}
    assert log.start_offsets("follower", TOPIC, [0]) == {0: 1}


def test_deleted_records_are_none_that_wait() -> None:
    """As of Kafka, whose consumer reads on where the log begins."""
    broker = MemoryBroker([IMAGES], 1, polls_wait=False)
    producer = MemoryEventProducer(broker)
    consumer, _ = member(broker)
    consumer.poll(1, 0)
    for _ in range(5):
        producer.append(ProducerRecord(TOPIC, "cat", b"x")).result(0)
    at = TopicPartition(TOPIC, 0)
    assert consumer.lag() == {at: 5}
    broker.delete_below(at, 3)
    assert consumer.lag() == {at: 2}


def test_compaction_keeps_the_last_record_of_each_key() -> None:
    """Offsets stay what they were."""
    broker = MemoryBroker([IMAGES], 1)
    producer = MemoryEventProducer(broker)
    for key in ("a", "b", "a", "c", "b"):
        producer.append(ProducerRecord(TOPIC, key, b"x")).result(0)
    broker.compact(TOPIC)
    assert [(m.key, m.offset) for m in broker.records(TOPIC)] == [(b"a", 2), (b"c", 3), (b"b", 4)]


def test_no_partition_starves_another() -> None:
    """One that is never empty gives way to the others."""
    broker = MemoryBroker([IMAGES], 2, polls_wait=False)
    producer = MemoryEventProducer(broker)
    consumer, _ = member(broker)
    for number in (0, 0, 0, 1):
        producer.append(ProducerRecord(TOPIC, "cat", b"x", partition=number)).result(0)
    polled = [consumer.poll(1, 0)[0].partition for _ in range(2)]
    assert sorted(polled) == [0, 1]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 12))
def test_partitions_are_shared_out_evenly_and_move_seldom(sizes: list[int], count: int) -> None:
    """However the group grows and shrinks: sizes differ by one at most, each has one holder."""
    partitions = [TopicPartition(TOPIC, number) for number in range(count)]
    held: dict[TopicPartition, str] = {}
    before: dict[TopicPartition, str] = {}
    for size in sizes:
        members = {f"m{number}": partitions for number in range(size)}
        held = {at: who for at, who in held.items() if who in members}
        before, held = held, shared_out(partitions, members, held)
        shares = [Counter(held.values())[who] for who in members]
        assert set(held) == set(partitions)
        assert max(shares) - min(shares) <= 1
        moved = sum(held[at] != who for at, who in before.items())
        assert moved <= sum(max(0, Counter(before.values())[w] - min(shares)) for w in members)
    again = shared_out(partitions, {f"m{n}": partitions for n in range(sizes[-1])}, held)
    assert again == held
