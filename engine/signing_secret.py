"""The deployment's signing secret: what seals search ids and makes pseudonyms."""

from __future__ import annotations

import secrets

from sightline.engine.errors import Conflict, ObjectMissing
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes

SECRET_KEY = "secrets/signing"  # noqa: S105 (an object's name, not a secret)
SECRET_BYTES = 32
_MAX_BYTES = 4_096


def stored_secret(store: ObjectStore, bucket: str) -> bytes:
    """The deployment's signing secret, made by whoever asks first (compare-and-set).

    Raises:
        Unreadable: there is one that cannot be read; a new one would void all that it has signed.
        PartUnavailable: the store did not answer; a repeat is safe.
    """
    try:
        return stored_bytes(store, bucket, SECRET_KEY, max_bytes=_MAX_BYTES)
    except ObjectMissing:
        made = secrets.token_bytes(SECRET_BYTES)
    try:
        store.put_if(bucket, SECRET_KEY, made, expected_etag=None)
    except Conflict:
        return stored_bytes(store, bucket, SECRET_KEY, max_bytes=_MAX_BYTES)
    return made
