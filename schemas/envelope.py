"""CloudEvents 1.0 in structured JSON mode: bytes in, typed event out, and back."""

from __future__ import annotations

from typing import Annotated, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, ValidationError
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

    @property
    def subject(self) -> str:
        """What the event is about; the Kafka key of most topics."""
        raise NotImplementedError


class Event(Contract, Generic[D]):
    """One CloudEvents 1.0 document.

    `id` is unique per `source`; a repeated (source, id) is the same event delivered again.
    """

    specversion: Literal["1.0"] = "1.0"
    id: Id
    source: Annotated[str, Field(min_length=1, max_length=256)]
    type: str
    subject: Annotated[str, Field(min_length=1, max_length=512)]
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    data: D

    def encode(self) -> bytes:
        """The document as UTF-8 JSON, absent fields left out."""
        return self.model_dump_json(exclude_none=True).encode()
