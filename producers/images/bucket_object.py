"""An object of a watched bucket, as far as its image depends on it."""

from __future__ import annotations

from typing import NamedTuple

from sightline.engine.records import StoredObject
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ObjectReference

GONE = "gone"
"""The stamp of a key under which there is no object."""


class BucketObject(NamedTuple):
    """What a watched bucket holds under a key."""

    reference: ObjectReference
    stamp: str
    """Differs for every write of the object."""
    visibility: Visibility
    """The visibility of a new image: what the uploader said, else the bridge's setting."""
    begins: bool = True
    """Whether an image is made of it where there is none; one that there is follows it anyway."""


def stamp_of(found: StoredObject) -> str:
    """Makes the text that tells one write of an object from every other."""
    modified = "" if found.modified is None else found.modified.isoformat()
    return f"{found.etag} {modified}".strip()
