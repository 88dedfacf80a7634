"""The shapes of answers about images: their status, and what was decided about them."""

from __future__ import annotations

from typing import Any, Literal

from sightline.search_api.http.documents.document import Document


class Freshness(Document):
    """When the newest version passed each stage, RFC 3339."""

    occurred: str
    """When it was published, by the publisher's clock."""
    appended: str | None = None
    """When the log had it."""
    searchable: str | None = None
    """From when a query returned it, or never again; not of a rejected image."""
    seconds: float | None = None
    """`searchable` less `appended`."""


class ImageDocument(Document):
    """What is known of an image: its state, and how far it is applied."""

    image_id: str
    """The image."""
    version: int
    """The newest known."""
    applied_version: int | None
    """The version that the index has; null: none yet."""
    status: Literal["pending", "indexed", "hidden", "rejected", "deleted"]
    """What became of the newest version."""
    reason: str | None = None
    """Why it was rejected, machine-readable."""
    message: str | None = None
    """Why it was rejected, for a person."""
    authority: Literal["owner", "sightline", "backfill"]
    """Who counts its versions."""
    visibility: Literal["public", "private"]
    """Who may see it."""
    moderation: Literal["allowed", "blocked"]
    """Whether the operator, or an owner's own event, hides it whatever its visibility."""
    moderation_version: int
    """The version of the operator's newest decision; 0: none was made."""
    moderation_reason: str | None
    """Why the operator decided so, for a person; null but for its owner and admins."""
    tags: list[str]
    """Its tags."""
    owner_id: str | None
    """Whose it is; null for a key that may neither write nor administer."""
    group_id: str | None
    """Several photos of one thing share it."""
    attributes: dict[str, Any]
    """The attributes that the image was given."""
    freshness: Freshness
    """Stage times."""
    image_url: str
    """A clean JPEG, at most 1600 pixels long."""
    thumbnail_url: str
    """A clean JPEG, at most 320 pixels long."""


class ModerationDocument(Document):
    """What the operator decided about an image: allowed or blocked, and why."""

    image_id: str
    """The image, known or not."""
    version: int
    """Grows with every decision about it; not the image's version."""
    moderation: Literal["allowed", "blocked"]
    """What was decided."""
    decided_by: str
    """Who decided."""
    reason: str | None
    """Why, for people."""
