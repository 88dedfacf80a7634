"""A shell round the label cores without Kafka: topics are lists, and it is killed at will."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sightline.schemas.labels import EpochClosed, SearchesClosed, TripleMined
from sightline.schemas.late import InteractionsOmitted
from sightline.schemas.registry import decode
from sightline.stream_workers.labels.done_epochs import DoneEpochs, DoneRange
from sightline.stream_workers.labels.effects import (
    Destination,
    Effect,
    FinishedEpochs,
    Outgoing,
    SideRow,
    Undecodable,
)
from sightline.stream_workers.labels.join.closing import Source
from sightline.stream_workers.labels.join.core import JoinCore
from sightline.stream_workers.labels.mine.core import MineCore
from sightline.stream_workers.labels.rules import LabelRules
from tests.oracle_labels import Expected, Recorded

Bytes = frozenset[bytes]
Distinct = tuple[Bytes, Bytes, Bytes, frozenset[tuple[str, int, int]]]


class Killed(Exception):
    """The process died here; what was sent before is in the log."""


def assert_equal(topics: StreamedTopics, wanted: Expected) -> None:
    """Searches, side rows and triples equal the oracle's, in id and content."""
    assert topics.searches() == wanted.searches
    assert topics.left_out() == {
        key: row | {"omitted": tuple(row["omitted"])} for key, row in wanted.omitted.items()
    }
    assert topics.mined() == wanted.triples
    dead = {(partition, offset) for stage, partition, offset in topics.dead if stage == "join"}
    assert dead == wanted.undecodable


@dataclass
class StreamedTopics:
    """What the two stages wrote."""

    targets: int
    closed: list[list[bytes]] = field(default_factory=list)
    triples: list[bytes] = field(default_factory=list)
    omitted: list[bytes] = field(default_factory=list)
    dead: list[tuple[str, int, int]] = field(default_factory=list)
    done: dict[tuple[str, int], list[DoneRange]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.closed = [[] for _ in range(self.targets)]

    def distinct(self) -> Distinct:
        """What `assert_equal` depends on: neither order nor repetition plays a part in it."""
        closed = frozenset(value for values in self.closed for value in values)
        return closed, frozenset(self.triples), frozenset(self.omitted), frozenset(self.dead)

    def send(self, record: Outgoing) -> None:
        """Append one record."""
        if record.destination is Destination.CLOSED:
            assert record.partition is not None
            self.closed[record.partition].append(record.value)
        elif record.destination is Destination.TRIPLES:
            self.triples.append(record.value)
        else:
            self.omitted.append(record.value)

    def mined(self) -> dict[str, dict[str, Any]]:
        """Triples by id; two of one id must say the same."""
        found: dict[str, dict[str, Any]] = {}
        for value in self.triples:
            event = decode(value)
            assert isinstance(event.data, TripleMined)
            told = event.data.model_dump()
            assert found.setdefault(event.id, told) == told
        return found

    def left_out(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Side rows by partition and offset; two of one place must say the same."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for value in self.omitted:
            data = decode(value).data
            assert isinstance(data, InteractionsOmitted)
            told = data.model_dump(mode="python")
            for row in told["omitted"]:
                row["kind"], row["reason"] = str(row["kind"]), str(row["reason"])
            assert found.setdefault((data.partition, data.offset), told) == told
        return found

    def searches(self) -> dict[tuple[int, int, str], dict[str, Any]]:
        """Closed searches by source, epoch and id; two of one must say the same."""
        found: dict[tuple[int, int, str], dict[str, Any]] = {}
        for value in (v for values in self.closed for v in values):
            data = decode(value).data
            assert isinstance(data, (SearchesClosed, EpochClosed))
            for search in data.searches if isinstance(data, SearchesClosed) else ():
                told = search.model_dump() | {"verdict": search.verdict.value}
                told["shown"] = list(told["shown"])
                key = (data.source_partition, data.epoch, search.search_id)
                assert found.setdefault(key, told) == told
        return found


Core = JoinCore | MineCore


@dataclass
class Shell:
    """Drives one stage of one partition from a list, with kills and late acknowledgements."""

    stage: str
    partition: int
    topics: StreamedTopics
    make: Any
    random: Random
    kill_rate: float = 0.0
    committed: int = 0
    position: int = 0
    core: Core | None = None
    kills: int = 0
    unsettled: list[int] = field(default_factory=list)
    unfinished: list[FinishedEpochs] = field(default_factory=list)

    def read(self, log: list[tuple[int, bytes | None]]) -> None:
        """Everything that is there, a random batch at a time."""
        while self.position < len(log) or self.unfinished or self.unsettled:
            try:
                self._batch(log)
            except Killed:
                self.drop()

    def drop(self) -> None:
        """A kill or a revoked partition: the state goes, the committed offset stays."""
        self.kills += 1
        self.core = None
        self.position = self.committed
        self.unsettled, self.unfinished = [], []

    def _batch(self, log: list[tuple[int, bytes | None]]) -> None:
        if self.core is None:
            self.core = self.make(self._done())
        batch = self.random.choice((1, 2, 7, 50))
        for _ in range(min(batch, len(log) - self.position)):
            timestamp_ms, value = log[self.position]
            for effect in self.core.apply(self.position, timestamp_ms, value):
                self._carry_out(effect)
            self.position += 1
        self._acknowledge(self.core, drained=self.position == len(log))
        safe = self.core.safe_offset()
        if safe is not None:
            assert safe >= self.committed
            self.committed = safe
        self._perhaps_die()

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, FinishedEpochs):
            self.unfinished.append(effect)
        elif isinstance(effect, SideRow):
            self._perhaps_die()
            self.topics.send(effect.record)
            self.unsettled.append(effect.offset)
        else:
            assert isinstance(effect, Undecodable)
            self.topics.dead.append((self.stage, self.partition, effect.offset))
            self.unsettled.append(effect.offset)

    def _acknowledge(self, core: Core, *, drained: bool) -> None:
        """Some of what is on its way arrives; epochs are done strictly in order."""
        while self.unfinished and (drained or self.random.random() < 0.6):
            effect = self.unfinished[0]
            for record in effect.records():
                self._perhaps_die()
                self.topics.send(record)
            for record in effect.markers():
                self._perhaps_die()
                self.topics.send(record)
            self._perhaps_die()
            self.topics.done.setdefault((self.stage, self.partition), []).append(effect.done)
            self._perhaps_die()
            core.finish(effect.done)
            self.unfinished.pop(0)
        while self.unsettled and (drained or self.random.random() < 0.6):
            core.settle(self.unsettled.pop())

    def _done(self) -> DoneEpochs:
        return DoneEpochs(self.topics.done.get((self.stage, self.partition), []))

    def _perhaps_die(self) -> None:
        if self.random.random() < self.kill_rate:
            raise Killed


def stream(
    log: Iterable[Recorded],
    rules: LabelRules,
    *,
    sources: int,
    targets: int,
    topic: str,
    random: Random,
    kill_rate: float = 0.0,
) -> tuple[StreamedTopics, int]:
    """Both stages over a growing log: the topics, and how often a process was killed."""
    topics = StreamedTopics(targets)
    parts: list[list[tuple[int, bytes | None]]] = [[] for _ in range(sources)]
    whole: list[list[tuple[int, bytes | None]]] = [[] for _ in range(sources)]
    for record in log:
        whole[record.partition].append((record.timestamp_ms, record.value))
    joins = [
        Shell(
            "join",
            p,
            topics,
            lambda done, p=p: JoinCore(rules, Source(topic, p, targets), done),
            random,
            kill_rate,
        )
        for p in range(sources)
    ]
    mines = [
        Shell(
            "mine",
            t,
            topics,
            lambda done: MineCore(rules, sources=sources, done=done),
            random,
            kill_rate,
        )
        for t in range(targets)
    ]
    while any(len(part) < len(all_) for part, all_ in zip(parts, whole, strict=True)):
        p = random.randrange(sources)
        grown = len(parts[p]) + random.choice((1, 5, 40))
        parts[p].extend(whole[p][len(parts[p]) : grown])
        joins[p].read(parts[p])
        t = random.randrange(targets)
        mines[t].read([(0, value) for value in topics.closed[t]])
    for t, mine in enumerate(mines):
        mine.read([(0, value) for value in topics.closed[t]])
    return topics, sum(shell.kills for shell in (*joins, *mines))
