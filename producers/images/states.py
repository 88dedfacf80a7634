"""States of an image made from bytes, or from the state before."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sightline.schemas.fields import NamedImage
from sightline.schemas.images import ImageChanged, ImageDeleted, ImageState, ObjectReference


def reference_to(data: bytes, bucket: str, image_id: str, content_type: str) -> ObjectReference:
    """Where bytes go in our bucket: by their digest, so that a version never changes its bytes.

    Raises:
        ValidationError: the image's id is out of the contract's bounds.
    """
    NamedImage(image_id=image_id)
    digest = sha256(data).hexdigest()
    return ObjectReference(
        bucket=bucket,
        key=f"images/{image_id}/{digest}",
        size_bytes=len(data),
        content_type=content_type,
        sha256=digest,
    )


def changed(state: ImageState, *, version: int, **changes: Any) -> ImageChanged:
    """The state with changes, validated anew. Raises `ValidationError`."""
    return ImageChanged.model_validate(_fields(state) | changes | {"version": version})


def deleted(state: ImageState, *, version: int) -> ImageDeleted:
    """The tombstone of a state: its bytes are no longer referred to."""
    return ImageDeleted.model_validate(_fields(state) | {"version": version, "object": None})


def _fields(state: ImageState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in type(state).model_fields}
