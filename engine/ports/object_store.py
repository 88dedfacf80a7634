"""The port to the object store: bytes by bucket and key, some written by compare-and-set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sightline.engine.records import StoredObject


class ObjectStore(Protocol):
    """Bytes by bucket and key, with compare-and-set."""

    def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream"
    ) -> StoredObject:
        """Write, replacing what was there. Raises `PartUnavailable`."""

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """Write only if the stored etag is `expected_etag` (None: only if nothing is stored).

        Raises:
            Conflict: something else is stored.
            PartUnavailable: the store did not answer; the write may have happened.
        """

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """Read whole.

        Raises:
            ObjectMissing: no such object.
            ObjectRefused: the store will not hand it out, however long one waits.
            ObjectDenied: we may not read it; the store works.
            TooLarge: it is over `max_bytes`.
            PartUnavailable: no answer.
        """

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Size, etag, times and user metadata. Raises as `get`."""

    def delete(self, bucket: str, key: str) -> None:
        """Remove; a missing object is fine. Raises `PartUnavailable`."""

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """Objects under a prefix in key order, lazily.

        Raises:
            ObjectMissing: no such bucket.
            ObjectDenied: we may not list it; the store works.
            PartUnavailable: no answer.
        """

    def ensure_bucket(self, bucket: str) -> None:
        """Create the bucket if it is not there. Raises `PartUnavailable`."""

    def keeps_versions(self, bucket: str) -> bool:
        """Whether what is removed or replaced stays, as an old version that no rule ends.

        Raises `ObjectDenied` where the credentials may not ask, `PartUnavailable`.
        """

    def close(self) -> None:
        """Let go of connections; repeated calls do nothing."""
