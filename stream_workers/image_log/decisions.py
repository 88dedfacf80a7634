"""The topic of the operator's decisions: reading it, which decision wins, and what keeps it there.

As with images, compaction keeps the last record of a key, not the highest version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sightline.engine.records import DecisionFence, IndexedDecision, Message, WinnerLocation
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.moderation import ImageModerated, decision_tie
from sightline.schemas.registry import decode
from sightline.stream_workers.image_log.events import check_image_id, image_id_of
from sightline.stream_workers.image_log.winners import lies_after, location_of

Decisions = Mapping[str, Event[ImageModerated]]
"""The winning decision of each image id."""


def read_decision(message: Message) -> Event[ImageModerated]:
    """Return the decision that a record holds.

    Raises:
        ContractError: it breaks the contract, is no decision, its key is not its image id, or no
            URL can hold its image id.
    """
    event = decode(message.value)
    if not isinstance(event.data, ImageModerated):
        raise ContractError("type", f"{event.type} is not a decision about an image")
    check_image_id(message, event.data.image_id)
    return event


def decision_order(event: Event[ImageModerated]) -> DecisionFence:
    """Return what decides between two decisions about one image."""
    return DecisionFence(event.data.version, decision_tie(event.data, event.id))


def merge_decisions(messages: Iterable[Message]) -> dict[str, Event[ImageModerated]]:
    """Return the winning decision of each image; malformed records and nulls are passed by."""
    winners: dict[str, Event[ImageModerated]] = {}
    for message in messages:
        try:
            event = read_decision(message)
        except ContractError:
            continue
        known = winners.get(event.data.image_id)
        if known is None or decision_order(known) < decision_order(event):
            winners[event.data.image_id] = event
    return winners


class PassedDecision(NamedTuple):
    """A record of the topic that has had its effect: a decision, or a Kafka null."""

    image_id: str
    location: WinnerLocation
    fence: DecisionFence | None
    """None: a null, which makes compaction forget the decision."""

    @classmethod
    def of(cls, message: Message, event: Event[ImageModerated] | None) -> PassedDecision:
        """What a record's having been here means for compaction."""
        fence = None if event is None else decision_order(event)
        return cls(image_id_of(message), location_of(message), fence)


def decisions_to_append_again(
    passed: Iterable[PassedDecision], stored: Mapping[str, IndexedDecision]
) -> list[IndexedDecision]:
    """Return winners that a lower decision, or a null, lies behind, each once."""
    again: dict[str, IndexedDecision] = {}
    for one in passed:
        winner = stored.get(one.image_id)
        if winner is None or not lies_after(one.location, winner.winner):
            continue
        if one.fence is None or one.fence < winner.fence:
            again[one.image_id] = winner
    return list(again.values())


def decisions_that_moved(
    passed: Iterable[PassedDecision], stored: Mapping[str, IndexedDecision]
) -> dict[str, WinnerLocation]:
    """Return where winners lie now, because a later copy of the same decision has been read."""
    moved: dict[str, WinnerLocation] = {}
    for one in passed:
        winner = stored.get(one.image_id)
        if winner is None or one.fence != winner.fence:
            continue
        if lies_after(one.location, moved.get(one.image_id, winner.winner)):
            moved[one.image_id] = one.location
    return moved
