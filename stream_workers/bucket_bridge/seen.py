"""What the store says of an object in a watched bucket, as the image that it makes."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.engine.records import StoredObject
from sightline.producers.backfill.tree import skipped_because
from sightline.producers.images.bucket_object import BucketObject, stamp_of
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ObjectReference

_MAX_CONTENT_TYPE = 128


def seen_object(
    found: StoredObject, otherwise: Visibility, *, hidden: bool = False
) -> BucketObject:
    """The reference to an object, and what its uploader said of who may see it.

    Args:
        found: what the store says now.
        otherwise: the visibility where the uploader said none.
        hidden: whether what lies in hidden and system folders begins images, too.

    Raises:
        ValidationError: an event cannot name such a bucket or key.
    """
    return BucketObject(
        reference=ObjectReference(
            bucket=found.bucket,
            key=found.key,
            size_bytes=found.size_bytes,
            content_type=found.content_type[:_MAX_CONTENT_TYPE],
        ),
        stamp=stamp_of(found),
        visibility=said_visibility(found.metadata, otherwise),
        begins=hidden or not skipped_because(found.key),
    )


def said_visibility(metadata: Mapping[str, str], otherwise: Visibility) -> Visibility:
    """What the object's `visibility` says; `otherwise` where there is none.

    A word that is none of ours may be a misspelt `private`, so it is taken for that.
    """
    said = metadata.get("visibility", "").strip().lower()
    if not said:
        return otherwise
    return Visibility(said) if said in set(Visibility) else Visibility.PRIVATE
