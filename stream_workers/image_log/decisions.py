"""The topic of the operator's decisions: reading it, and which decision wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sightline.engine.records import DecisionFence, Message
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.moderation import ImageModerated, decision_tie
from sightline.schemas.registry import decode
from sightline.stream_workers.image_log.events import check_image_id
from sightline.stream_workers.image_log.winners import keep_higher

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
            keep_higher(winners, read_decision(message), decision_order)
        except ContractError:
            continue
    return winners
