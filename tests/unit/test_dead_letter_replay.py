"""Dead letters: found, told apart, sent back where they came from, and limited."""

from __future__ import annotations

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import DeadLetterLimit
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import WorkerSettings
from sightline.schemas.dead_letters import HEADER_PREFIX
from sightline.schemas.topics import IMAGES, IMAGES_DLQ
from sightline.stream_workers.delivery.dead_letter_replay import Wanted, dead_letters, replay
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetters
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.delivery.outbox import Outbox
from sightline.stream_workers.delivery.retries import Patience
from tests.worker_parts import MemoryLog


def cause(error: str, *, by_sender: bool = False) -> Cause:
    """Why something was dead-lettered."""
    return Cause(stage="read", error=error, reason="type: unknown", by_sender=by_sender)


class Letters:
    """A log with some rubbish in it, and the dead letters made of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.metrics = Metrics()
        patience = Patience(WorkerSettings(), Health(self.clock), self.metrics)
        rate = LetterRate(limit=3, window_s=60.0, setting="worker.dead_letter_limit")
        self.sender = DeadLetters(Outbox(self.log, patience), LetterLimit(rate), self.metrics)

    def rubbish(
        self, value: bytes, error: str = "ContractError", *, by_sender: bool = False
    ) -> None:
        """Append it, and dead-letter it."""
        sent = self.log.append(
            ProducerRecord(IMAGES.name, "a", value, headers=[("traceparent", b"00-1-2-01")])
        )
        self.sender.send(sent.result(), cause(error, by_sender=by_sender))


@pytest.fixture
def letters() -> Letters:
    """Nothing in it yet."""
    return Letters()


def test_each_original_is_listed_once(letters: Letters) -> None:
    """A worker that died before its commit sent the same letter again."""
    letters.rubbish(b"x")
    again = letters.log.records[IMAGES.name][0]
    letters.sender.send(again, cause("ContractError"))
    (found,) = dead_letters(letters.log.records[IMAGES_DLQ.name], Wanted())
    assert found.place == "images.v1/0/0"
    assert found.facts.message == "type: unknown"


def test_letters_are_chosen_by_what_is_wanted(letters: Letters) -> None:
    """By topic, error, stage and place; records of another kind are passed over."""
    letters.rubbish(b"x")
    letters.rubbish(b"y", error="ZeroDivisionError")
    letters.log.append(ProducerRecord(IMAGES_DLQ.name, "a", b"no letter"))
    records = letters.log.records[IMAGES_DLQ.name]

    def values(wanted: Wanted) -> list[bytes | None]:
        return [letter.value for letter in dead_letters(records, wanted)]

    assert values(Wanted(topic=IMAGES.name)) == [b"x", b"y"]
    assert values(Wanted(error="ZeroDivisionError")) == [b"y"]
    assert values(Wanted(stage="embed")) == []
    assert values(Wanted(places=frozenset({"images.v1/0/0"}))) == [b"x"]


def test_a_replay_sends_the_original_bytes_back(letters: Letters) -> None:
    """Same topic, key, value and headers; the facts stay behind."""
    letters.rubbish(b"x")
    found = dead_letters(letters.log.records[IMAGES_DLQ.name], Wanted())
    (replayed,) = replay(found, letters.log)
    original, copy = letters.log.records[IMAGES.name]
    assert (copy.key, copy.value, copy.headers) == (original.key, original.value, original.headers)
    assert (replayed.topic, replayed.offset) == (IMAGES.name, 1)


@pytest.mark.parametrize("named", ["images.moderation.v1", "models.v1", "audit.v1", "nothing", ""])
def test_a_letter_goes_to_the_topic_whose_letters_lie_there_and_to_no_other(
    letters: Letters, named: str
) -> None:
    """Who may append to dead letters would write with a replay to whatever topic they name."""
    letters.rubbish(b"x")
    (sound,) = letters.log.records[IMAGES_DLQ.name]
    forged = [(n, named.encode() if n == f"{HEADER_PREFIX}topic" else v) for n, v in sound.headers]
    letters.log.append(ProducerRecord(IMAGES_DLQ.name, "a", b"forged", headers=forged))
    found = dead_letters(letters.log.records[IMAGES_DLQ.name], Wanted())
    assert [letter.value for letter in found] == [b"x"]


def test_what_a_letter_says_obeys_no_terminal(letters: Letters) -> None:
    """One line, without what clears a screen or fills a clipboard."""
    letters.rubbish(b"x", error="\x1b]52;c;eA==\a[/]\n")
    (found,) = dead_letters(letters.log.records[IMAGES_DLQ.name], Wanted())
    assert found.facts.error == " ]52;c;eA== [/] "


def test_too_many_letters_in_the_window_are_refused(letters: Letters) -> None:
    """The limit counts the last minute only, and the refused one is not sent."""
    for _ in range(3):
        letters.rubbish(b"x")
    said = r"more than 3 dead letters of images\.v1/0 within 60 s"
    with pytest.raises(DeadLetterLimit, match=said):
        letters.rubbish(b"y")
    assert len(letters.log.records[IMAGES_DLQ.name]) == 3
    letters.clock.advance(61)
    letters.rubbish(b"z")
    assert len(letters.log.records[IMAGES_DLQ.name]) == 4


def test_what_senders_bring_about_stops_nothing(letters: Letters) -> None:
    """Any number of them is sent and counted by cause; the limit counts the others alone."""
    for _ in range(20):
        letters.rubbish(b"x", error="ValidationError", by_sender=True)
    for _ in range(3):
        letters.rubbish(b"y")
    with pytest.raises(DeadLetterLimit):
        letters.rubbish(b"z")
    name = "sightline_dead_letters_total"
    for error, count in {"ValidationError": 20, "ContractError": 3}.items():
        of_this_kind = {"topic": IMAGES.name, "error": error}
        assert letters.metrics.registry.get_sample_value(name, of_this_kind) == count


def test_a_record_that_is_read_again_is_counted_once(letters: Letters) -> None:
    """After a failed commit, or by the partition's next assignment."""
    letters.rubbish(b"x")
    again = letters.log.records[IMAGES.name][0]
    for _ in range(20):
        letters.sender.send(again, cause("ContractError"))


def test_each_partition_has_a_limit_of_its_own() -> None:
    """One that is full of rubbish does not stop another one's few."""
    limit = LetterLimit(LetterRate(limit=2, window_s=60.0, setting="s"))
    broker = MemoryBroker([IMAGES], 2, clock=ManualClock())
    producer = MemoryEventProducer(broker)
    for partition in (0, 1):
        for _ in range(2):
            sent = producer.append(ProducerRecord(IMAGES.name, "a", b"x", partition=partition))
            limit.count(sent.result(), "unreadable")
    with pytest.raises(DeadLetterLimit):
        limit.count(
            producer.append(ProducerRecord(IMAGES.name, "a", b"x", partition=1)).result(),
            "unreadable",
        )
