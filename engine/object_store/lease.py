"""The right to do something alone, however many processes would: one small object in a bucket.

Whoever holds it writes its name and until when; it is taken, prolonged and given back by
compare-and-set. After a crash others wait until that time. Clocks of machines differ, so that two
may believe in it for a moment: what is done under it must bear that, as by compare-and-set of its
own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from secrets import token_hex

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from sightline.engine.errors import Conflict, ObjectMissing, TransientError, Unreadable
from sightline.engine.ports import Clock, ObjectStore
from sightline.engine.stored_records import stored_bytes, stored_etag

_PER_LEASE = 3
"""It is prolonged so many times in the time that it lasts."""
_MAX_BYTES = 4_096
_log = logging.getLogger(__name__)


class _Held(BaseModel):
    """Who holds a lease, and until when."""

    model_config = ConfigDict(frozen=True)

    holder: str
    until: AwareDatetime


class Lease:
    """One process's claim to a lease; several of one process are strangers to each other.

    Args:
        store: where it lies.
        bucket: our own.
        key: of the object.
        lasts_s: how long others wait for a holder that died.
        clock: by which it runs out.
    """

    def __init__(
        self, store: ObjectStore, bucket: str, key: str, *, lasts_s: float, clock: Clock
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._lasts_s = lasts_s
        self._clock = clock
        self._holder = token_hex(16)

    def take(self) -> bool:
        """Hold it from now on, or longer; False: another does.

        Raises:
            PartUnavailable: the store did not answer.
        """
        held, etag = self._read()
        if held is not None and held.holder != self._holder and self._holds(held):
            return False
        until = self._clock.now() + timedelta(seconds=self._lasts_s)
        return self._write(until, etag)

    def is_free(self) -> bool:
        """Whether nobody else holds it just now.

        Raises:
            PartUnavailable: the store did not answer.
        """
        held, _ = self._read()
        return held is None or held.holder == self._holder or not self._holds(held)

    def give_back(self) -> None:
        """Let others take it at once; what another holds stays.

        Raises:
            PartUnavailable: the store did not answer; then it runs out by itself.
        """
        held, etag = self._read()
        if held is not None and held.holder == self._holder:
            self._write(self._clock.now(), etag)

    @contextmanager
    def kept(self) -> Iterator[threading.Event]:
        """Prolong what was taken, from another thread, until the block ends; then give it back.

        What the block gets is set once the lease is another's, or may be, since the store has not
        answered for as long as it lasts: then the work is no longer this process's.
        """
        over, lost = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=self._prolong, args=(over, lost), name="lease", daemon=True
        )
        thread.start()
        try:
            yield lost
        finally:
            over.set()
            thread.join()
            try:
                self.give_back()
            except TransientError as error:
                _log.info("the lease %s runs out by itself: %s", self._key, error)

    def _prolong(self, over: threading.Event, lost: threading.Event) -> None:
        held_s = self._clock.monotonic()
        while not over.wait(self._lasts_s / _PER_LEASE):
            now_s = self._clock.monotonic()
            try:
                holds = self.take()
            except TransientError as error:
                _log.warning("the lease %s could not be prolonged: %s", self._key, error)
                holds = now_s - held_s < self._lasts_s
            else:
                held_s = now_s
            if not holds:
                _log.warning("the lease %s is lost: what is under way ends here", self._key)
                lost.set()
                return

    def _holds(self, held: _Held) -> bool:
        """Whether somebody's time is not over; one too far ahead was set by a clock gone wrong."""
        ahead = held.until - self._clock.now()
        return timedelta(0) < ahead <= timedelta(seconds=2 * self._lasts_s)

    def _read(self) -> tuple[_Held | None, str | None]:
        try:
            etag = stored_etag(self._store, self._bucket, self._key)
            data = stored_bytes(self._store, self._bucket, self._key, max_bytes=_MAX_BYTES)
            held = _Held.model_validate_json(data)
        except ObjectMissing:
            return None, None
        except (ValidationError, Unreadable):
            return None, etag  # nobody can read it, so nobody holds it
        return held, etag

    def _write(self, until: datetime, etag: str | None) -> bool:
        data = _Held(holder=self._holder, until=until).model_dump_json().encode()
        try:
            self._store.put_if(self._bucket, self._key, data, expected_etag=etag)
        except Conflict:
            return False
        return True
