"""An indexed image in, the bytes that its vector was made from out."""

from __future__ import annotations

import hashlib

from sightline.engine.errors import ObjectChanged, ObjectMissing, TooLarge
from sightline.engine.ports import ObjectStore
from sightline.engine.records import IndexedImage


def picture_of(store: ObjectStore, image: IndexedImage, *, max_bytes: int) -> bytes:
    """The bytes that an image's vector was made from.

    Raises:
        ObjectMissing, ObjectRefused, ObjectDenied: they are gone, or not to be had.
        ObjectChanged: others lie there by now.
        PartUnavailable: the store did not answer.
    """
    if image.object is None:
        raise ObjectMissing(f"image {image.image_id} has no bytes")
    try:
        data = store.get(image.object.bucket, image.object.key, max_bytes=max_bytes)
    except TooLarge as error:
        raise ObjectChanged(f"the bytes of image {image.image_id} are others by now") from error
    if hashlib.sha256(data).hexdigest() != image.content_sha256:
        raise ObjectChanged(f"the bytes of image {image.image_id} are others by now")
    return data
