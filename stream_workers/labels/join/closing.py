"""One complete epoch of one partition to the records that tell it: a pure function of its set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from sightline.engine.event_log.partitions import partition_of
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.codecs.searches import (
    Search,
    encode_marker,
    encode_omitted,
    encode_search,
    encode_searches,
)
from sightline.stream_workers.labels.effects import Destination, Outgoing
from sightline.stream_workers.labels.join.bots import ActorOfEpoch, actors_of
from sightline.stream_workers.labels.join.counting import Counted, OmittedRecord, count
from sightline.stream_workers.labels.join.grading import grade
from sightline.stream_workers.labels.join.open_search import Impression
from sightline.stream_workers.labels.join.packed_page import HeldSearch
from sightline.stream_workers.labels.rules import LabelRules

MAX_SEARCHES = 50
MAX_RECORD_BYTES = 768 * 1024
"""50 pages of 100 images would pass the broker's 1 MiB."""


@dataclass(slots=True)
class OpenEpoch:
    """What is held of an epoch; `first_offset` is the lowest record that it needs."""

    first_offset: int
    searches: dict[str, HeldSearch] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the interactions lie and how many partitions the closed searches have."""

    topic: str
    partition: int
    targets: int


def is_erased(impression: Impression, erasures: Mapping[str, int]) -> bool:
    """Whether its actor or user was erased at an instant after it was issued."""
    page = impression.page
    names = (page.actor_id, page.user_pseudonym or page.actor_id)
    return any(impression.issued_ms < erasures.get(name, -1) for name in names)


def _closed(
    impression: Impression, counted: Counted, actor: ActorOfEpoch, rules: LabelRules
) -> Search:
    page = impression.page
    shown, examined = grade(counted, rules)
    return Search(
        search_id=page.search_id,
        issued_at=page.issued_at,
        actor_id=page.actor_id,
        anchor_id=page.anchor_id,
        anchor_perceptual_hash=page.anchor_perceptual_hash,
        query=page.query,
        model_digest=page.model_digest,
        generation=page.generation,
        variant=page.variant,
        verdict=actor.verdict,  # type: ignore[arg-type]
        examined=examined,
        shown=shown,
        user_pseudonym=page.user_pseudonym,
        actor_pairs=actor.pairs,
    )


def close_epoch(
    epoch: OpenEpoch, erasures: Mapping[str, int], rules: LabelRules
) -> tuple[Callable[[], Iterator[Search]], list[OmittedRecord]]:
    """The epoch's searches, by search id and graded one at a time, and what did not count."""
    counted = {
        search_id: count(epoch.searches[search_id].opened(), window_ms=rules.window_ms)
        for search_id in sorted(epoch.searches)
    }
    omitted = [row for each in counted.values() for row in each.omitted]
    kept = [
        each
        for each in counted.values()
        if each.impression is not None and not is_erased(each.impression, erasures)
    ]
    actors = actors_of(kept, rules)

    def searches() -> Iterator[Search]:
        for each in kept:
            if each.impression is not None:
                yield _closed(each.impression, each, actors[each.impression.page.actor_id], rules)

    return searches, sorted(omitted)


@dataclass(slots=True)
class _Packet:
    """Searches of one target partition that go together."""

    searches: list[msgspec.Raw] = field(default_factory=list)
    size_bytes: int = 0

    def has_room(self, size_bytes: int) -> bool:
        return (
            len(self.searches) < MAX_SEARCHES and self.size_bytes + size_bytes <= MAX_RECORD_BYTES
        )

    def add(self, search: bytes) -> None:
        self.searches.append(msgspec.Raw(search))
        self.size_bytes += len(search)


def pack(
    searches: Iterable[Search], *, source: Source, epoch: int, time: str
) -> Iterator[Outgoing]:
    """Searches as records of up to 50 of one target partition."""
    packets: dict[int, _Packet] = {}
    sent = 0

    def written(target: int, packet: _Packet) -> Outgoing:
        nonlocal sent
        sent += 1
        name = f"{source.topic}-{source.partition}-{epoch}"
        value = encode_searches(
            packet.searches,
            event_id=f"{name}-{sent}",
            source_partition=source.partition,
            epoch=epoch,
            time=time,
        )
        return Outgoing(Destination.CLOSED, f"{source.partition}/{epoch}", value, target)

    for search in searches:
        target = partition_of(search.anchor_id, source.targets)
        encoded = encode_search(search)
        packet = packets.setdefault(target, _Packet())
        if not packet.has_room(len(encoded)):
            yield written(target, packet)
            packet = packets[target] = _Packet()
        packet.add(encoded)
    for target, packet in packets.items():
        yield written(target, packet)


def side_records(omitted: Iterable[OmittedRecord], source: Source, time: str) -> Iterator[Outgoing]:
    """The side rows that the close of an epoch decided."""
    for row in omitted:
        told = row.lying_at(source.topic, source.partition)
        yield Outgoing(Destination.OMITTED, row.actor_id, encode_omitted(told, time=time))


def markers(source: Source, first_epoch: int, epoch: int, time_ms: int) -> Iterator[Outgoing]:
    """One marker for every partition of the next topic."""
    value = encode_marker(
        event_id=f"{source.topic}-{source.partition}-{epoch}-closed",
        source_partition=source.partition,
        first_epoch=first_epoch,
        epoch=epoch,
        time=instants.text(time_ms),
    )
    key = f"{source.partition}/{epoch}"
    for target in range(source.targets):
        yield Outgoing(Destination.CLOSED, key, value, target)
