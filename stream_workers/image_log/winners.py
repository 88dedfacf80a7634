"""Which event of an image wins, over both topics, and what keeps compaction from losing it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeVar

from sightline.engine.records import (
    DecisionFence,
    Fence,
    IndexedDecision,
    IndexedImage,
    Message,
    WinnerLocation,
)
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.images import ImageState, tie
from sightline.schemas.moderation import ImageModerated
from sightline.stream_workers.image_log.events import read_image_event

_log = logging.getLogger(__name__)

E = TypeVar("E", Event[ImageState], Event[ImageModerated])

Winners = Mapping[str, Event[ImageState]]
"""The winning event of each image id."""


def order(event: Event[ImageState]) -> tuple[int, int]:
    """Return what decides between two events of one image: (version, tie)."""
    return event.data.version, tie(event.data, event.id)


def merge(messages: Iterable[Message]) -> dict[str, Event[ImageState]]:
    """Return the winner of each image, whatever the order of versions; passes malformed records by.

    A null ends what lies before it in its topic, as compaction will. Records of one image and topic
    come in the order of the log.
    """
    topics: dict[str, dict[str, Event[ImageState]]] = defaultdict(dict)
    unreadable: list[str] = []
    for message in messages:
        if message.value is None:
            topics[message.topic].pop(message.key_text, None)
            continue
        try:
            event = read_image_event(message)
        except ContractError as error:
            unreadable.append(f"{message.key_text}: {error}")
            continue
        keep_higher(topics[message.topic], event, order)
    if unreadable:
        _log.warning("passed over %d records, the first of %s", len(unreadable), unreadable[0])
    winners: dict[str, Event[ImageState]] = {}
    for found in topics.values():
        for event in found.values():
            keep_higher(winners, event, order)
    return winners


def keep_higher(winners: dict[str, E], event: E, rank: Callable[[E], tuple[int, int]]) -> None:
    """Let the event stand for its image unless one that is as high, or higher, does."""
    known = winners.get(event.data.image_id)
    if known is None or rank(known) < rank(event):
        winners[event.data.image_id] = event


def event_of(image: IndexedImage) -> Event[ImageState]:
    """Return the winning event as it was: the same id, so the same tie, and the same state."""
    return Event[ImageState].of(
        image.state,
        event_id=image.event_id,
        source=image.event_source,
        time=image.occurred,
    )


class Passed(NamedTuple):
    """A record of a compacted topic that has had its effect: an event, or a Kafka null."""

    image_id: str
    location: WinnerLocation
    fence: Fence | DecisionFence | None
    """None: a null, which makes compaction forget the key."""


class Winner(Protocol):
    """What the index keeps of a key's winning event: of an image, or of a decision about one."""

    @property
    def fence(self) -> Fence | DecisionFence:
        """Version and tie first; they alone decide between two events."""

    @property
    def winner(self) -> WinnerLocation:
        """Where in the log the winning event lies."""

    @property
    def may_be_forgotten(self) -> bool:
        """Whether a null that lies behind it is meant to."""


W = TypeVar("W", bound=Winner)
S = TypeVar("S", IndexedImage, IndexedDecision)


def location_of(message: Message) -> WinnerLocation:
    """Return where a record lies in the log."""
    return WinnerLocation(message.topic, message.partition, message.offset)


def lies_after(location: WinnerLocation, other: WinnerLocation) -> bool:
    """Whether `location` is later in the same partition of the same topic."""
    return location[:2] == other[:2] and location.offset > other.offset


def winners_to_relocate(
    finished: Sequence[Passed], stored: Mapping[str, S], append_again: Callable[[S], S]
) -> list[S]:
    """Return the winners that lie elsewhere now: a copy was read, or `append_again` made one."""
    moved = {
        image_id: replace(stored[image_id], winner=place)
        for image_id, place in winners_that_moved(finished, stored).items()
    }
    moved |= {
        image_id: append_again(winner)
        for image_id, winner in winners_to_append_again(finished, {**stored, **moved}).items()
    }
    return list(moved.values())


def winners_to_append_again(finished: Iterable[Passed], stored: Mapping[str, W]) -> dict[str, W]:
    """Return, by key, winners that a lower event lies behind: compaction would drop them.

    Compaction keeps the last record of a key, not the highest version. The stored winner is
    appended to its own topic again before the lower event's offset is committed. Across topics
    nothing is needed: readers merge the two by version. A tie's loser counts as lower, so that the
    compacted topic, too, ends in the one winner of a tie. A null is written only for a tombstone
    that has expired; behind anything else it must not be the last word either.
    """
    again: dict[str, W] = {}
    for passed in finished:
        winner = stored.get(passed.image_id)
        if winner is None or not _loses(passed, winner):
            continue
        if lies_after(passed.location, winner.winner):
            again[passed.image_id] = winner
    return again


def winners_that_moved(
    finished: Iterable[Passed], stored: Mapping[str, W]
) -> dict[str, WinnerLocation]:
    """Return where winners lie now, because a later copy of the same event has been read."""
    moved: dict[str, WinnerLocation] = {}
    for passed in finished:
        winner = stored.get(passed.image_id)
        if winner is None or passed.fence is None or winner.fence[:2] != passed.fence[:2]:
            continue
        if lies_after(passed.location, moved.get(passed.image_id, winner.winner)):
            moved[passed.image_id] = passed.location
    return moved


def _loses(passed: Passed, winner: Winner) -> bool:
    if passed.fence is None:
        return not winner.may_be_forgotten
    return passed.fence[:2] < winner.fence[:2]
