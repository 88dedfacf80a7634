"""The shape that all answers have, and that of a problem."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """The base class of all shapes of answers: attribute docstrings become descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")


class ProblemDocument(Document):
    """What went wrong with a request, as RFC 9457 has it."""

    type: str
    """`urn:sightline:problem:<kind>`; the kinds are in `docs/api.md`."""
    title: str
    """What the kind of problem is called, always the same."""
    status: int
    """The HTTP status."""
    detail: str
    """What was wrong here, and what to do."""
    field: str | None = None
    """The field of the request that is wrong."""
    part: str | None = None
    """The part of the system that is down: broker, store, index, embedder."""
    reason: str | None = None
    """Why an image cannot be used, machine-readable."""
