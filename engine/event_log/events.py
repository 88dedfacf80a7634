"""Records of the log in, the events that they tell out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.registry import decode


def events_in(messages: Iterable[Message], *words: str) -> Iterator[tuple[Message, Event[Any]]]:
    """Each record with its event; those that break their contract are passed over.

    Args:
        messages: of any topics, in the order in which they come back.
        words: only records whose bytes hold one of them, as decoding is most of the work; none:
            all.
    """
    wanted = [word.encode() for word in words]
    for message in messages:
        if wanted and not any(word in (message.value or b"") for word in wanted):
            continue
        try:
            event = decode(message.value)
        except ContractError:
            continue
        yield message, event
