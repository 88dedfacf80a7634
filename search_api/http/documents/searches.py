"""The shapes of answers to searches: a page of results, and what ranked it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sightline.search_api.http.documents.document import Document


class Result(Document):
    """One image that a search found, with its place and score."""

    image_id: str
    """The image."""
    position: int = Field(ge=1)
    """From 1."""
    score: float
    """Cosine similarity to the query, as `model` of the answer sees both."""
    tags: list[str]
    """Its tags."""
    attributes: dict[str, Any]
    """Its attributes, as they were given."""
    group_id: str | None
    """Several photos of one thing share it."""
    image_url: str
    """A clean JPEG, at most 1600 pixels long."""
    thumbnail_url: str
    """A clean JPEG, at most 320 pixels long."""


class SearchAnswer(Document):
    """A page of results, with what is needed to report clicks on it."""

    search_id: str
    """Sealed; authorises interactions with these results for 24 h."""
    session_id: str
    """The caller's, or a new one to send with the next search."""
    actor: Literal["user", "session"]
    """Whom clicks count for: the user, where one was named by a key with the scope `users`."""
    model: str
    """Digest of the model whose ranking it is."""
    generation: str
    """The generation of the index that was searched."""
    indexed_by: str
    """Digest of the model that made the vectors of this generation: `model`, or while that answers
    by a matrix on the query, the one before it."""
    feedback: bool
    """Whether this search is recorded; false while the store or the broker is down."""
    removed: dict[str, int]
    """What re-ranking took out, by reason, among images that you may see."""
    results: list[Result]
    """Best first; ties by image id."""
