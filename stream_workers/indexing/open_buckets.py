"""Whether a bucket is open to us, asked when the store says that we may not read one object of it.

Only an object that was read tells. A list that is answered does not: who lost a key of encryption,
or the right to read, may list a bucket still.
"""

from __future__ import annotations

import logging
from itertools import islice

from sightline.engine.errors import PermanentError, TooLarge, TransientError
from sightline.engine.ports import Clock, ObjectStore

_LOOK_AGAIN_S = 10.0
_NEIGHBOURS = 8
"""Objects of a bucket that are tried at one look."""
_MOST_BUCKETS = 1_000
"""Publishers name the buckets; beyond so many all is forgotten and looked at again."""

_log = logging.getLogger(__name__)


class OpenBuckets:
    """Knows since when some object of a bucket could be read; several threads may ask."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._read_s: dict[str, float] = {}
        self._looked_s: dict[str, float] = {}

    def was_read(self, bucket: str) -> None:
        """An object of the bucket has just been read."""
        _note(self._read_s, bucket, self._clock.monotonic())

    def is_open(self, bucket: str, *, closed_key: str, since_s: float) -> bool:
        """Whether another object of the bucket could be read at or after a monotonic second.

        Looks at the bucket itself once in a while, where nobody has read anything of it.
        """
        if self._read_since(bucket, since_s):
            return True
        now_s = self._clock.monotonic()
        if now_s - self._looked_s.get(bucket, float("-inf")) < _LOOK_AGAIN_S:
            return False
        _note(self._looked_s, bucket, now_s)
        if self._reads_a_neighbour(bucket, closed_key):
            self.was_read(bucket)
        else:
            _log.warning("no object of a bucket may be read", extra={"bucket": bucket})
        return self._read_since(bucket, since_s)

    def _read_since(self, bucket: str, since_s: float) -> bool:
        return self._read_s.get(bucket, float("-inf")) >= since_s

    def _reads_a_neighbour(self, bucket: str, closed_key: str) -> bool:
        try:
            found = islice(self._store.list(bucket, ""), _NEIGHBOURS)
            return any(self._is_readable(bucket, o.key) for o in found if o.key != closed_key)
        except (PermanentError, TransientError):
            return False

    def _is_readable(self, bucket: str, key: str) -> bool:
        try:
            self._store.get(bucket, key, max_bytes=1)
        except TooLarge:
            return True
        except (PermanentError, TransientError):
            return False
        return True


def _note(seconds: dict[str, float], bucket: str, now_s: float) -> None:
    if len(seconds) >= _MOST_BUCKETS and bucket not in seconds:
        seconds.clear()
    seconds[bucket] = now_s
