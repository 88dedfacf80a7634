"""Object references to verified bytes; what is not there yet is looked for again later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

from sightline.engine.errors import (
    ObjectChanged,
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    Part,
    RejectReason,
    TooLarge,
    TransientError,
)
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import WorkerSettings
from sightline.schemas.images import ObjectReference
from sightline.stream_workers.indexing.byte_budget import ByteBudget, HeldBytes
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.moves import Again, Embed, Fetch, FetchNow, Move, Write
from sightline.stream_workers.indexing.open_buckets import OpenBuckets
from sightline.stream_workers.indexing.task import Fetched, Judged, Rejection

_LONGEST_LOOK_S = 0.5
"""Between two looks for a missing object: well within the grace."""


class Fetcher:
    """Reads objects one after the other, in several threads; a retry is a move, so none sleeps.

    Args:
        max_bytes: of an encoded file; larger ones are rejected unread.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        settings: WorkerSettings,
        max_bytes: int,
        budget: ByteBudget,
        context: StageContext,
    ) -> None:
        self._store = store
        self._settings = settings
        self._max_bytes = max_bytes
        self._budget = budget
        self._patience = context.patience
        self._clock = context.clock
        self._metrics = context.metrics
        self._buckets = OpenBuckets(store, context.clock)

    def fetch(self, wanted: Iterable[Fetch]) -> list[Move]:
        """Return where each task goes, with its bytes or without; nothing if the worker stops."""
        return [move for one in wanted for move in self._fetch(one)]

    def _fetch(self, wanted: Fetch) -> list[Move]:
        promised = wanted.task.state.object
        if promised is None:
            raise AssertionError("only events with an object are fetched")
        if promised.size_bytes > self._max_bytes:
            return [_reject(wanted, *_too_many_bytes(promised.size_bytes, self._max_bytes))]
        if not self._budget.acquire(promised.size_bytes, self._patience.giving_up):
            return []
        *back, move = self._look(wanted, promised)
        if isinstance(move, Fetch | Write):
            self._budget.release(promised.size_bytes)
        return [*back, move]

    def _look(self, wanted: Fetch, promised: ObjectReference) -> list[Move]:
        """Return where the task goes, after what the store's answer means for the others."""
        try:
            move = self._answer(wanted, promised)
        except TransientError as error:
            self._patience.failed(Part.STORE, error)
            return [self._later(wanted, self._settings.backoff_max_s)]
        was_down = self._patience.is_down(Part.STORE)
        self._patience.worked(Part.STORE)
        return [FetchNow(), move] if was_down else [move]

    def _answer(self, wanted: Fetch, promised: ObjectReference) -> Move:
        """Return what the store's answer means for the task.

        Raises:
            TransientError: the store does not answer.
        """
        try:
            fetched = self._read(wanted, promised)
        except ObjectDenied as error:
            return self._denied(wanted, promised, error)
        except ObjectRefused as error:
            return self._missing(wanted, RejectReason.OBJECT_REFUSED, f"the store refuses {error}")
        except ObjectMissing:
            place = f"{promised.bucket}/{promised.key}"
            reason = RejectReason.OBJECT_MISSING
            return self._missing(wanted, reason, f"the object store has no {place}")
        except ObjectChanged as error:
            return self._missing(wanted, RejectReason.OBJECT_CHANGED, str(error))
        # a digest that the event did not promise may be a known one: plan with it
        return Embed(fetched) if promised.sha256 is not None else Again(fetched)

    def _read(self, wanted: Fetch, promised: ObjectReference) -> Fetched:
        started_s = self._clock.monotonic()
        try:
            data = self._store.get(
                promised.bucket, promised.key, max_bytes=max(1, promised.size_bytes)
            )
        except TooLarge as error:
            raise ObjectChanged(
                f"the object has more bytes than the {promised.size_bytes} its event says"
            ) from error
        digest = verified(data, promised)
        self._metrics.fetch_seconds.observe(self._clock.monotonic() - started_s)
        self._buckets.was_read(promised.bucket)
        held = HeldBytes(data, self._budget)
        return Fetched(wanted.task, digest, held, self._clock.now())

    def _denied(self, wanted: Fetch, promised: ObjectReference, error: ObjectDenied) -> Move:
        """Refuse it alone where others of its bucket may be read, else wait for the bucket.

        The store answers, so no other part waits.
        """
        since_s = self._missing_since_s(wanted)
        waited = self._clock.monotonic() - since_s >= self._settings.object_grace_s
        if waited and not self._buckets.is_open(
            promised.bucket, closed_key=promised.key, since_s=since_s
        ):
            known = replace(wanted, missing_since_s=since_s)
            return self._later(known, self._settings.backoff_max_s)
        return self._missing(wanted, RejectReason.OBJECT_REFUSED, f"the store refuses {error}")

    def _missing_since_s(self, wanted: Fetch) -> float:
        since_s = wanted.missing_since_s
        return self._clock.monotonic() if since_s is None else since_s

    def _missing(self, wanted: Fetch, reason: RejectReason, message: str) -> Move:
        now_s = self._clock.monotonic()
        since_s = self._missing_since_s(wanted)
        left_s = since_s + self._settings.object_grace_s - now_s
        if left_s <= 0:
            looked = f"{message} (looked for {self._settings.object_grace_s:g} s)"
            return _reject(wanted, reason, looked)
        return self._later(replace(wanted, missing_since_s=since_s), min(left_s, _LONGEST_LOOK_S))

    def _later(self, wanted: Fetch, longest_s: float) -> Fetch:
        backoff = self._patience.backoff()
        backoff.attempts = wanted.attempts
        after_s = min(longest_s, backoff.next_s())
        return replace(wanted, attempts=backoff.attempts, after_s=after_s)


def verified(data: bytes, promised: ObjectReference) -> str:
    """Return the SHA-256 of bytes that are what the event promised.

    Raises:
        ObjectChanged: their size or SHA-256 is another.
    """
    if len(data) != promised.size_bytes:
        raise ObjectChanged(
            f"the object has {len(data)} bytes, its event says {promised.size_bytes}"
        )
    digest = sha256(data).hexdigest()
    if promised.sha256 is not None and digest != promised.sha256:
        raise ObjectChanged("the object's SHA-256 differs from its event's")
    return digest


def _reject(wanted: Fetch, reason: RejectReason, message: str) -> Write:
    return Write(Judged(wanted.task, Rejection(reason, message)))


def _too_many_bytes(size_bytes: int, limit_bytes: int) -> tuple[RejectReason, str]:
    message = f"{size_bytes} bytes, at most {limit_bytes} are accepted"
    return RejectReason.TOO_MANY_BYTES, message
