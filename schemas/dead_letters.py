"""Dead letters: the original bytes as the value, the facts as Kafka headers."""

from __future__ import annotations

from typing import Self

from pydantic import ValidationError

from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Contract
from sightline.schemas.models import readable

HEADER_PREFIX = "sightline-dlq-"
MAX_FACT_CHARS = 1024


class DeadLetterFacts(Contract):
    """Where a message came from and why it could not be processed."""

    topic: str
    """Where it was read, named without the deployment's prefix."""
    partition: int
    """Where it was read."""
    offset: int
    """Where it was read."""
    stage: str
    """The stage that gave up: `decode`, `apply`, …"""
    error: str
    """The error's kind: a class name of `engine/errors.py`, or `ContractError`."""
    message: str
    """The field and the reason, for a person."""
    attempts: int = 1
    """How often it was tried."""

    def headers(self) -> list[tuple[str, bytes]]:
        """The facts as Kafka headers, each cut at 1,024 characters."""
        return [
            (HEADER_PREFIX + name, str(value)[:MAX_FACT_CHARS].encode(errors="replace"))
            for name, value in self.model_dump().items()
        ]

    @classmethod
    def parse(cls, headers: list[tuple[str, bytes]]) -> Self:
        """The facts from a dead letter's headers.

        Raises:
            ContractError: a header is missing or malformed.
        """
        named = {
            name.removeprefix(HEADER_PREFIX): value.decode(errors="replace")
            for name, value in headers
            if name.startswith(HEADER_PREFIX)
        }
        try:
            return cls.model_validate(named)
        except ValidationError as error:
            raise ContractError.of(error) from error

    def legible(self) -> Self:
        """The facts as a person may be shown them, each in one line that no terminal obeys."""
        texts = ("topic", "stage", "error", "message")
        return self.model_copy(update={name: readable(getattr(self, name)) for name in texts})
