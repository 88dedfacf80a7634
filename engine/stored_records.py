"""Records of our own bucket: their bytes and etags; one that cannot be read is `Unreadable`."""

from __future__ import annotations

from sightline.engine.errors import ObjectMissing, ObjectRefused, TooLarge, Unreadable
from sightline.engine.ports import ObjectStore


def stored_bytes(store: ObjectStore, bucket: str, key: str, *, max_bytes: int | None) -> bytes:
    """The bytes of a record that Sightline keeps.

    Whoever reads records has to do with one that is damaged; that it was replaced by something
    large, or that the store will not hand it out, is the same to them.

    Raises:
        ObjectMissing: there is none.
        Unreadable: there is one, over `max_bytes` or not to be had.
        PartUnavailable: the store did not answer.
    """
    try:
        return store.get(bucket, key, max_bytes=max_bytes)
    except (TooLarge, ObjectRefused) as error:
        raise Unreadable(f"{key} in bucket {bucket} cannot be read: {error}") from error


def stored_etag(store: ObjectStore, bucket: str, key: str) -> str:
    """What a record's successor has to name, also of one that the store will not describe.

    Raises:
        ObjectMissing: there is none.
        PartUnavailable: the store did not answer.
    """
    try:
        return store.stat(bucket, key).etag
    except ObjectRefused as error:
        for item in store.list(bucket, key):
            if item.key == key:
                return item.etag
        raise ObjectMissing(f"{bucket}/{key} is not listed") from error
