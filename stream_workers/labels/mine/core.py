"""The miner of one partition: closed searches and markers in, triples out.

Pure: no Kafka. Epoch e is mined when every source partition has said that it is closed; what is
mined depends only on the searches of epochs e - H … e (docs/labels.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from sightline.schemas.envelope import ContractError
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.codecs.searches import (
    Closed,
    ClosedRecord,
    Marker,
    Search,
    decode_searches,
)
from sightline.stream_workers.labels.codecs.triples import TripleWriter
from sightline.stream_workers.labels.done_epochs import DoneEpochs, DoneRange
from sightline.stream_workers.labels.effects import (
    Destination,
    Effect,
    FinishedEpochs,
    Outgoing,
    Undecodable,
    nothing,
)
from sightline.stream_workers.labels.mine.epoch import Clicked, clicked_by_people, mine_epoch
from sightline.stream_workers.labels.mine.votes import Pair, voters_of
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.safe_offset import SafeOffset


@dataclass(slots=True)
class HeldEpoch:
    """Searches by (source partition, search id) until mined, then what people clicked.

    And, where a pair needs more than one actor, who preferred what.
    """

    first_offset: int
    searches: dict[tuple[int, str], Search] = field(default_factory=dict)
    clicked: Clicked = field(default_factory=dict)
    voters: dict[Pair, set[str]] = field(default_factory=dict)

    def remember(self, searches: Collection[Search], rules: LabelRules) -> None:
        """Add to the history; repeats change nothing."""
        for anchor_id, clicked in clicked_by_people(searches).items():
            self.clicked.setdefault(anchor_id, set()).update(clicked)
        if rules.min_actors > 1:
            for pair, actors in voters_of(searches).items():
                self.voters.setdefault(pair, set()).update(actors)


class MineCore:
    """State of one partition of a closed-searches topic.

    Args:
        rules: fixed for the life of the topics.
        sources: how many partitions the interactions have.
        done: what earlier runs finished, from `epochs.done.v1`.
    """

    def __init__(self, rules: LabelRules, *, sources: int, done: DoneEpochs) -> None:
        self._rules = rules
        self._sources = sources
        self._done = done
        self._offsets = SafeOffset()
        self._markers: dict[int, tuple[int, int]] = {}
        self._next_epoch = None if done.last is None else done.last + 1
        self._held: dict[int, HeldEpoch] = {}
        self._closing: dict[int, int] = {}

    @property
    def clock(self) -> int | None:
        """The newest epoch that every source has closed; None until each has said something."""
        if len(self._markers) < self._sources:
            return None
        return min(epoch for epoch, _ in self._markers.values())

    @property
    def searches(self) -> int:
        """Counts the searches that are held as history or until their epoch is complete."""
        return sum(len(epoch.searches) for epoch in self._held.values())

    def apply(self, offset: int, timestamp_ms: int, value: bytes | None) -> list[Effect]:
        """Take the next record of the partition; its timestamp does not matter.

        Raises:
            OffsetGap: it is not the next one; the process must end.
        """
        del timestamp_ms
        self._offsets.accept(offset)
        try:
            record = decode_searches(value)
        except ContractError as error:
            self._offsets.hold(offset)
            return [Undecodable(offset, value, str(error))]
        if isinstance(record, ClosedRecord):
            self._take_searches(offset, record.data)
            return []
        return self._take_marker(offset, record.data)

    def skip_to(self, offset: int) -> None:
        """The log holds nothing from the present position up to this offset."""
        self._offsets.skip_to(offset)

    def settle(self, offset: int) -> None:
        """The dead letter of this record is acknowledged."""
        self._offsets.settle(offset)

    def finish(self, done: DoneRange) -> None:
        """`EpochDone` of these epochs is acknowledged: only history is kept."""
        self._done.add(done)
        self._closing.pop(done.epoch, None)
        self._held = {
            epoch: held for epoch, held in self._held.items() if epoch >= self._oldest_needed()
        }

    def safe_offset(self) -> int | None:
        """What may be committed; None before the first record."""
        oldest = self._oldest_needed()
        needed = [held.first_offset for epoch, held in self._held.items() if epoch >= oldest]
        latest = (offset for _, offset in self._markers.values())
        return self._offsets.safe((*needed, *latest, *self._closing.values()))

    def _oldest_needed(self) -> int:
        """The oldest epoch whose searches are still needed, as history of one to be mined."""
        last = self._done.last
        return 0 if last is None else last + 1 - self._rules.history

    def _take_searches(self, offset: int, closed: Closed) -> None:
        if closed.epoch < self._oldest_needed():
            return
        held = self._held.setdefault(closed.epoch, HeldEpoch(offset))
        if self._next_epoch is not None and closed.epoch < self._next_epoch:
            # Mined already: the history of a later epoch after a restart, or a repeat.
            held.remember(closed.searches, self._rules)
            return
        for search in closed.searches:
            held.searches.setdefault((closed.source_partition, search.search_id), search)

    def _take_marker(self, offset: int, marker: Marker) -> list[Effect]:
        known = self._markers.get(marker.source_partition)
        if known is None or marker.epoch >= known[0]:
            self._markers[marker.source_partition] = (marker.epoch, offset)
        clock = self.clock
        if clock is None:
            return []
        if self._next_epoch is None:
            self._next_epoch = min((clock, *self._held))
        return self._mine_until(clock + 1, offset) if clock >= self._next_epoch else []

    def _mine_until(self, until: int, offset: int) -> list[Effect]:
        first = self._next_epoch or 0
        effects: list[Effect] = []
        for epoch in sorted(e for e in self._held if first <= e < until):
            self._announce(first, epoch, offset, effects)
            self._closing[epoch] = offset
            done = DoneRange(epoch, epoch, offset)
            effects.append(FinishedEpochs(done, self._triples(epoch), nothing))
            first = epoch + 1
        self._announce(first, until, offset, effects)
        self._next_epoch = until
        return effects

    def _announce(self, first: int, until: int, offset: int, effects: list[Effect]) -> None:
        """Empty epochs first … until - 1 are done, too."""
        if first < until:
            self._closing[until - 1] = offset
            done = DoneRange(first, until - 1, offset)
            effects.append(FinishedEpochs(done, nothing, nothing))

    def _triples(self, epoch: int) -> Callable[[], Iterator[Outgoing]]:
        """The epoch's triples, mined by whoever sends them: nothing is added to what they need."""
        held, rules = self._held[epoch], self._rules
        held.remember(held.searches.values(), rules)
        searches = [(source, search) for (source, _), search in held.searches.items()]
        held.searches = {}
        span = range(epoch - rules.history, epoch + 1)
        past = [self._held[e] for e in span if e in self._held]
        history, voters = [each.clicked for each in past], [each.voters for each in past]
        time = instants.text(rules.closes_at(epoch))

        def records() -> Iterator[Outgoing]:
            writer = TripleWriter(epoch=epoch, rules_version=rules.version, time=time)
            for name, mined in mine_epoch(searches, history, rules, voters):
                value = writer.encode(name, mined)
                yield Outgoing(Destination.TRIPLES, mined.search.anchor_id, value)

        return records
