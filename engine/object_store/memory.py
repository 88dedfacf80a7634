"""The object store in memory: what tests and trials use instead of a server or a directory."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Conflict, ObjectMissing, Part, PartUnavailable, TooLarge
from sightline.engine.records import StoredObject

_PLAIN = "application/octet-stream"


class MemoryObjectStore:
    """An `ObjectStore` that forgets everything when its process ends.

    Args:
        buckets: which exist from the start.
        now: the time of a write, in UTC; none: by this machine's clock.
    """

    def __init__(self, *buckets: str, now: Callable[[], datetime] | None = None) -> None:
        self._now = now or SystemClock().now
        self._lock = threading.Lock()
        self._buckets: dict[str, dict[str, tuple[StoredObject, bytes]]] = {b: {} for b in buckets}
        self.down = False
        """While true, every call raises `PartUnavailable`, as with a store that is away."""
        self.reads = 0
        """How many objects were asked for whole."""

    def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str = _PLAIN
    ) -> StoredObject:
        """See `ObjectStore.put`."""
        return self.put_with_metadata(bucket, key, data, {}, content_type=content_type)

    def put_with_metadata(
        self,
        bucket: str,
        key: str,
        data: bytes,
        metadata: Mapping[str, str],
        *,
        content_type: str = _PLAIN,
    ) -> StoredObject:
        """Write an object with user metadata, as other clients of a bucket do."""
        with self._lock:
            return self._write(bucket, key, data, content_type, metadata)

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """See `ObjectStore.put_if`."""
        with self._lock:
            stored = self._bucket(bucket).get(key)
            if expected_etag != (None if stored is None else stored[0].etag):
                raise Conflict(f"{bucket}/{key} is no longer what was read")
            return self._write(bucket, key, data, _PLAIN, {})

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """See `ObjectStore.get`."""
        with self._lock:
            self.reads += 1
            _, data = self._found(bucket, key)
        if max_bytes is not None and len(data) > max_bytes:
            raise TooLarge(f"{bucket}/{key} is over {max_bytes} bytes")
        return data

    def stat(self, bucket: str, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        with self._lock:
            return self._found(bucket, key)[0]

    def delete(self, bucket: str, key: str) -> None:
        """See `ObjectStore.delete`."""
        with self._lock:
            self._bucket(bucket).pop(key, None)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.list`; what is there when the first object is asked for."""
        with self._lock:
            found = [about for about, _ in self._bucket(bucket).values()]
        for about in sorted(found, key=lambda about: about.key.encode()):
            if about.key.startswith(prefix) and about.key.encode() > start_after.encode():
                yield about

    def ensure_bucket(self, bucket: str) -> None:
        """See `ObjectStore.ensure_bucket`."""
        with self._lock:
            self._refuse_if_down()
            self._buckets.setdefault(bucket, {})

    def keeps_versions(self, bucket: str) -> bool:
        """See `ObjectStore.keeps_versions`: what is removed is gone."""
        del bucket
        return False

    def close(self) -> None:
        """See `ObjectStore.close`; the objects stay for who holds this store."""

    def _write(
        self, bucket: str, key: str, data: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> StoredObject:
        about = StoredObject(
            bucket=bucket,
            key=key,
            size_bytes=len(data),
            etag=secrets.token_hex(16),
            modified=self._now(),
            content_type=content_type,
            metadata={name.lower(): value for name, value in metadata.items()},
        )
        self._bucket(bucket)[key] = (about, bytes(data))
        return about

    def _found(self, bucket: str, key: str) -> tuple[StoredObject, bytes]:
        self._refuse_if_down()
        found = self._buckets.get(bucket, {}).get(key)
        if found is None:
            raise ObjectMissing(f"{bucket}/{key}: no such object")
        return found

    def _bucket(self, bucket: str) -> dict[str, tuple[StoredObject, bytes]]:
        self._refuse_if_down()
        if bucket not in self._buckets:
            raise PartUnavailable(Part.STORE, f"there is no bucket {bucket}")
        return self._buckets[bucket]

    def _refuse_if_down(self) -> None:
        if self.down:
            raise PartUnavailable(Part.STORE, "switched off")
