"""Image events: what platform services say about an image, each time with its whole state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from sightline.schemas.envelope import EventData, ranked
from sightline.schemas.fields import (
    Attributes,
    Contract,
    Id,
    ImageId,
    Moderation,
    OwnerId,
    Sha256,
    Tags,
    Version,
    Visibility,
)


class ObjectReference(Contract):
    """Where an image's bytes lie, and how to know that they are the right ones (claim check)."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,62}$")]
    """The object store's bucket."""
    key: Annotated[str, Field(min_length=1, max_length=1024)]
    """The object's key in it, unescaped."""
    size_bytes: Annotated[int, Field(strict=True, ge=0)]
    """The object's size; another size in the store is `object_changed`."""
    content_type: Annotated[str, Field(max_length=128)] = "application/octet-stream"
    """What the publisher says it is, for the record: the bytes decide."""
    sha256: Sha256 | None = None
    """The object's hash; null only where the publisher could not read it, as in a notification."""


class Authority(StrEnum):
    """Who gives an image its version numbers (docs/images.md)."""

    OWNER = "owner"
    SIGHTLINE = "sightline"
    BACKFILL = "backfill"
    """Version 0: inserted if unknown, fixes no authority."""


class ImageState(EventData):
    """The whole state of one image at one version; an event is a state and a past-tense verb."""

    TYPE: ClassVar[str] = ""
    SUBJECT: ClassVar[str] = "image_id"

    image_id: ImageId
    """The caller's id of the image; the Kafka key."""
    version: Version
    """Grows with every event of the image, from one authority; never a clock."""
    authority: Authority = Authority.OWNER
    """Who counts the versions."""
    object: ObjectReference | None
    """Where the bytes lie; null only for a deleted image."""
    visibility: Visibility = Visibility.PRIVATE
    """Who may see it."""
    moderation: Moderation = Moderation.ALLOWED
    """Blocked hides it whatever its visibility."""
    tags: Tags = ()
    """Searches filter on them; matched exactly."""
    owner_id: OwnerId | None = None
    """Whose image it is: a `write` key sees and changes its owner's images."""
    group_id: Id | None = None
    """Several photos of one thing share it."""
    attributes: Attributes = Field(default_factory=dict)
    """Opaque to us, returned with results: at most 4 KiB of JSON, at most 32 levels deep."""


class ImageUploaded(ImageState):
    """An image's bytes are in the object store, for the first time or anew."""

    TYPE: ClassVar[str] = "sightline.image.uploaded.v1"
    object: ObjectReference
    """Where the bytes lie."""


class ImageChanged(ImageState):
    """Tags, visibility, moderation, owner, group or attributes changed; the bytes did not."""

    TYPE: ClassVar[str] = "sightline.image.changed.v1"
    object: ObjectReference
    """Where the bytes lie, as before."""


_LEFT_BY_A_DELETE = ("image_id", "version", "authority", "owner_id")


class ImageDeleted(ImageState):
    """The image is gone, for good against every lower version; only its owner is still known.

    Whatever else a publisher says with a delete is dropped when it is read: tags, attributes,
    group, visibility and the reference to the bytes (docs/privacy.md).
    """

    TYPE: ClassVar[str] = "sightline.image.deleted.v1"
    object: None = None
    """Always null: what the bytes were is forgotten."""

    @model_validator(mode="before")
    @classmethod
    def _forget(cls, said: Any) -> Any:
        """Keep what tells which image is gone, at which version, and whose it was."""
        if not isinstance(said, Mapping):
            return said
        return {name: said[name] for name in _LEFT_BY_A_DELETE if name in said}


_RANK_DELETED, _RANK_BLOCKED, _RANK_PRIVATE, _RANK_PUBLIC = 3, 2, 1, 0


def hiding_rank(state: ImageState) -> int:
    """How much a state hides: deleted 3, blocked 2, private 1, public 0."""
    if isinstance(state, ImageDeleted):
        return _RANK_DELETED
    if state.moderation is Moderation.BLOCKED:
        return _RANK_BLOCKED
    return _RANK_PRIVATE if state.visibility is Visibility.PRIVATE else _RANK_PUBLIC


def tie(state: ImageState, event_id: str) -> int:
    """Decides between two events of one version, the same everywhere: what hides more wins."""
    return ranked(hiding_rank(state), event_id)
