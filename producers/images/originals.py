"""An image's original bytes, together with the place in the object store that is theirs."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from sightline.producers.images.content_types import OCTETS
from sightline.schemas.fields import NamedImage
from sightline.schemas.images import ObjectReference


@dataclass(frozen=True, slots=True)
class Original:
    """Bytes that were hashed once, and the reference that every event of theirs carries."""

    reference: ObjectReference
    data: bytes | None = None
    """None: the bytes lie where `reference` says already."""


def original_of(data: bytes, *, bucket: str, image_id: str, content_type: str = OCTETS) -> Original:
    """Hash bytes and name their place in our bucket: by digest, so that no version changes its own.

    Raises:
        ValidationError: the image's id is out of the contract's bounds.
    """
    NamedImage(image_id=image_id)
    digest = sha256(data).hexdigest()
    reference = ObjectReference(
        bucket=bucket,
        key=f"images/{image_id}/{digest}",
        size_bytes=len(data),
        content_type=content_type,
        sha256=digest,
    )
    return Original(reference, data)
