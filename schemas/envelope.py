"""CloudEvents 1.0 in structured JSON mode: bytes in, typed event out, and back."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Annotated, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, SerializeAsAny, ValidationError

from sightline.schemas.fields import Contract, Id, Time

D = TypeVar("D", bound="EventData")


class ContractError(ValueError):
    """A message breaks its contract.

    Args:
        field: the path of the first field that is wrong, `""` for the whole document.
        reason: what is wrong with it, for a person.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason

    @classmethod
    def of(cls, error: ValidationError) -> Self:
        """The first complaint of a pydantic error as a field and a reason."""
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return cls(".".join(str(part) for part in first["loc"]), first["msg"])


class EventData(Contract):
    """What an event says; each subclass names its CloudEvents type and its subject."""

    TYPE: ClassVar[str]
    """`sightline.<thing>.<past tense>.v<N>`"""
    SUBJECT: ClassVar[str]
    """Names the field that says what the event is about; without it, `subject` does."""

    @property
    def subject(self) -> str:
        """What the event is about; the Kafka key of most topics."""
        return str(getattr(self, self.SUBJECT))


class Event(Contract, Generic[D]):
    """One CloudEvents 1.0 document.

    `id` is unique per `source`; a repeated (source, id) is the same event delivered again.
    """

    specversion: Literal["1.0"] = "1.0"
    """The version of CloudEvents that the envelope follows."""
    id: Id
    """Unique per source; a repeat is the same event delivered again."""
    source: Annotated[str, Field(min_length=1, max_length=256)]
    """Who says so: a URI reference naming the publishing service."""
    type: str
    """`sightline.<thing>.<past tense>.v<N>`: decides what `data` is."""
    subject: Annotated[str, Field(min_length=1, max_length=512)]
    """What the event is about: the same as the field of `data` that the type says."""
    time: Time
    """When it occurred, by the publisher's clock."""
    datacontenttype: Literal["application/json"] = "application/json"
    """The format of `data`: always JSON."""
    # Written whole: else an `Event[EventData]` would only have the fields of the base class.
    data: SerializeAsAny[D]
    """What the event says."""

    @classmethod
    def of(cls, data: D, *, event_id: str, source: str, time: datetime) -> Self:
        """The event that says `data`: type and subject follow from it.

        Raises:
            ValidationError: an argument is out of bounds.
        """
        return cls(
            id=event_id,
            source=source,
            type=data.TYPE,
            subject=data.subject,
            time=time,
            data=data,
        )

    def encode(self) -> bytes:
        """The document as UTF-8 JSON, absent fields left out."""
        return self.model_dump_json(exclude_none=True).encode()


def ranked(rank: int, event_id: str) -> int:
    """The order of events of one version, the same everywhere: the rank first, then the id's hash.

    rank · 2³² + the first 32 bits of SHA-256(event id): exact as float64 (docs/adr/0003).
    """
    return rank * 2**32 + int.from_bytes(sha256(event_id.encode()).digest()[:4])


# Its own fields have their descriptions by now. Each `Event[…]` inherits them, and to look for its
# source, which it does not have, was a quarter of the time that every process takes to start.
Event.model_config["use_attribute_docstrings"] = False
