"""Dead letters listed, shown and replayed: the core of `sightline dlq`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sightline.engine.ports import EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.schemas.dead_letters import HEADER_PREFIX, DeadLetterFacts
from sightline.schemas.envelope import ContractError
from sightline.schemas.topics import topic


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message that could not be processed, and why."""

    facts: DeadLetterFacts
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    """The original ones."""
    appended: datetime
    """When it was dead-lettered."""

    @property
    def place(self) -> str:
        """`topic/partition/offset` of the original: names the letter on the command line."""
        return f"{self.facts.topic}/{self.facts.partition}/{self.facts.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which dead letters; what is not said is any."""

    topic: str | None = None
    """The topic that the original record came from."""
    error: str | None = None
    """Kind: `ContractError`, …"""
    stage: str | None = None
    places: frozenset[str] = frozenset()
    """`topic/partition/offset` of originals."""

    def includes(self, letter: DeadLetter) -> bool:
        """Whether the letter is one of them."""
        return (
            self.topic in (None, letter.facts.topic)
            and self.error in (None, letter.facts.error)
            and self.stage in (None, letter.facts.stage)
            and (not self.places or letter.place in self.places)
        )


def read_dead_letter(message: Message) -> DeadLetter:
    """The letter in a record of a dead-letter topic.

    Raises:
        ContractError: its headers do not say where it came from, or name a topic whose dead letters
            lie elsewhere: a replay would write to whatever topic somebody named.
    """
    facts = DeadLetterFacts.parse(list(message.headers)).legible()
    if topic(message.topic).dead_letters_of != facts.topic:
        raise ContractError("topic", f"{message.topic} holds no dead letters of it")
    return DeadLetter(
        facts=facts,
        key=message.key_text,
        value=message.value,
        headers=tuple(h for h in message.headers if not h[0].startswith(HEADER_PREFIX)),
        appended=message.timestamp,
    )


def dead_letters(records: Iterable[Message], wanted: Wanted) -> Iterator[DeadLetter]:
    """The wanted ones, each original once: a restart may have sent it twice.

    Records that are no dead letters are passed over.
    """
    seen = set()
    for record in records:
        try:
            letter = read_dead_letter(record)
        except ContractError:
            continue
        if letter.place not in seen and wanted.includes(letter):
            seen.add(letter.place)
            yield letter


@dataclass(frozen=True, slots=True)
class Replayed:
    """One letter and where its original lies now."""

    letter: DeadLetter
    topic: str
    partition: int
    offset: int


def replay(
    letters: Iterable[DeadLetter],
    producer: EventProducer,
    *,
    done: Callable[[Replayed], None] = lambda _: None,
) -> list[Replayed]:
    """Append the original bytes, key and headers to the topic they came from, acknowledged.

    Repeats are safe: image events are fenced by version, notifications are hints to look. What is
    still bad comes back as a dead letter with its new offset.

    Raises:
        PartUnavailable: the broker did not acknowledge; repeat the whole.
        TooLarge: the source topic no longer takes it.
    """
    replayed = []
    for letter in letters:
        sent = producer.append(
            ProducerRecord(letter.facts.topic, letter.key, letter.value, headers=letter.headers)
        )
        message = sent.result()
        one = Replayed(letter, message.topic, message.partition, message.offset)
        replayed.append(one)
        done(one)
    return replayed
