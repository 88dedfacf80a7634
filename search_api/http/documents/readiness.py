"""The shape of the answer that says whether this process and its parts are ready."""

from __future__ import annotations

from sightline.search_api.http.documents.document import Document


class PartDocument(Document):
    """Whether one part of the system answers, and if not, why."""

    up: bool
    """Whether it answered when last asked."""
    reason: str
    """Why it is down, in its own words for an `admin` key; or what runs it."""
    since: str | None = None
    """When that last changed."""


class ReadinessDocument(Document):
    """Whether searches and uploads are served, and by what."""

    ready: bool
    """Whether every part is up."""
    parts: dict[str, PartDocument]
    """By name: broker, store, index, embedder."""
    runtime: str
    """What runs the model."""
    learning: bool
    """Whether `/v1/stats` and `/v1/triples` are there."""
    stopped: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    """Loops beside the API, such as `worker`, `bridge` or `join`, that stopped alone, and why."""
    model: str
    """The model's digest."""
    generation: str
    """The generation of the index that is served."""
    released: str | None = None
    """`NAME@DIGEST` of the model in the registry; null: the one that the settings name."""
    number: int = 1
    """How often what serves has changed, from 1; equal in all processes that serve the same."""
