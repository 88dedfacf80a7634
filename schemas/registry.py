"""Bytes of a message to its typed event: the one decoder of every consumer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from sightline.schemas import strict_json
from sightline.schemas.envelope import ContractError, Event, EventData
from sightline.schemas.topics import ALL_TOPICS

EVENT_TYPES: dict[str, type[EventData]] = {
    event.TYPE: event for topic in ALL_TOPICS for event in topic.events
}
_MODELS: dict[str, type[Event[Any]]] = {
    name: Event[data]  # type: ignore[valid-type]
    for name, data in EVENT_TYPES.items()
}


class _Peek(BaseModel):
    specversion: str = ""
    type: str = ""


def decode(value: bytes | None) -> Event[Any]:
    """The typed event of a message.

    Known fields are strict: a number is no date, `"1"` is no number. Unknown fields are ignored. A
    key that an object has twice is malformed: readers differ in which of the two they believe.

    Raises:
        ContractError: not JSON, a doubled key, not a CloudEvent, of an unknown type or version, out
            of bounds, or about something else than its subject.
    """
    if value is None:
        raise ContractError("", "the message has no value")
    try:
        peek = _Peek.model_validate_json(value)
        if peek.specversion != "1.0":
            raise ContractError("specversion", "not a CloudEvents 1.0 document")
        model = _MODELS.get(peek.type)
        if model is None:
            raise ContractError("type", f"unknown event type {peek.type[:80]!r}")
        event = model.model_validate_json(value, strict=True)
    except ValidationError as error:
        raise ContractError.of(error) from error
    _refuse_doubled_keys(value)
    if event.subject != event.data.subject:
        raise ContractError("subject", "differs from what the data is about")
    return event


def _refuse_doubled_keys(value: bytes) -> None:
    # Asked last: of a message that breaks its contract otherwise too, the field is the better news.
    try:
        strict_json.loads(value.decode())
    except ValueError as error:
        raise ContractError("", str(error)) from error
