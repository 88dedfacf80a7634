"""What can be said of an image in, its next whole state out: uploaded, changed or deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from pydantic import JsonValue

from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import (
    Authority,
    ImageChanged,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
)


class ImageFacts(TypedDict, total=False):
    """What a publisher can say of an image beside its bytes; the contract defaults the rest."""

    visibility: Visibility | Literal["public", "private"]
    """Who may see it; private unless said."""
    moderation: Moderation | Literal["allowed", "blocked"]
    """Blocked hides it whatever its visibility."""
    tags: Sequence[str]
    """Searches filter on them."""
    owner_id: str | None
    """Whose image it is."""
    group_id: str | None
    """Several photos of one thing share it."""
    attributes: Mapping[str, JsonValue]
    """Opaque to us, returned with results."""


def uploaded(
    image_id: str,
    reference: ObjectReference,
    facts: ImageFacts,
    *,
    version: int,
    authority: Authority = Authority.OWNER,
) -> ImageUploaded:
    """The state of an image whose bytes are new.

    Raises:
        ValidationError: a value is out of the contract's bounds.
        TypeError: a fact that images do not have.
    """
    named = {"image_id": image_id, "version": version, "authority": authority}
    return ImageUploaded.model_validate(_known(facts) | named | {"object": reference})


def changed(
    state: ImageState, changes: ImageFacts, *, version: int, authority: Authority | None = None
) -> ImageChanged:
    """The state with `changes`, its bytes as before; raises as `uploaded`.

    Args:
        state: the image before.
        changes: new values; what they do not name stays.
        version: of the change.
        authority: who counts the versions from now on; none: as before.
    """
    counted = {"version": version, "authority": authority or state.authority}
    return ImageChanged.model_validate(_fields(state) | _known(changes) | counted)


def with_bytes(
    state: ImageState,
    reference: ObjectReference,
    *,
    version: int,
    authority: Authority | None = None,
) -> ImageUploaded:
    """The state with new bytes and all else as before."""
    counted = {"version": version, "authority": authority or state.authority}
    return ImageUploaded.model_validate(_fields(state) | counted | {"object": reference})


def deleted(state: ImageState, *, version: int, authority: Authority | None = None) -> ImageDeleted:
    """The tombstone of a state: which image, at which version, and whose it was."""
    counted = {"version": version, "authority": authority or state.authority}
    return ImageDeleted.model_validate(_fields(state) | counted)


def _fields(state: ImageState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in type(state).model_fields}


def _known(facts: ImageFacts) -> dict[str, Any]:
    """The facts as they are; contracts ignore unknown fields, so a slip would change nothing."""
    unknown = facts.keys() - ImageFacts.__annotations__.keys()
    if unknown:
        known = ", ".join(ImageFacts.__annotations__)
        raise TypeError(f"an image has no {', '.join(sorted(unknown))}; it has {known}")
    return dict(facts)
