"""The one tree of errors: every failure is first transient or permanent, then of a kind.

::

    SightlineError
    ├── TransientError            wait with backoff and try again; never dead-letter
    │   ├── PartUnavailable       a part (broker, store, index) is down, slow or refusing
    │   │   └── Overloaded        a part works but has too much to do
    │   └── ObjectDenied          the store works but may not show us this object yet
    ├── PermanentError            trying again changes nothing
    │   ├── BadImage              the bytes are not a picture we accept; has a `reason`
    │   ├── ObjectMissing         the object store has no such object
    │   ├── ObjectRefused         it will not hand this one out: archived, or an impossible name
    │   ├── ObjectChanged         size or SHA-256 differs from what the event promised
    │   ├── Conflict              a compare-and-set lost: the stored value is another one
    │   ├── NotFound              no such image, or none that the caller may see
    │   ├── TooLarge              a message or object over its bound
    │   ├── Unreadable            a stored record that we cannot read (any more)
    │   └── IdReserved            an image id whose form belongs to who derives it
    └── RefusedToStart            a misconfiguration; the process must not run
        ├── SettingsInvalid       unreadable or contradictory settings
        ├── GenerationMismatch    the index was made by another model
        ├── OriginMismatch        the embedded index holds another log's images
        ├── IndexOwned            another process owns the embedded index directory
        ├── DiskFull              no room left under the embedded index
        ├── TopicDrift            the broker's topics differ from `schemas/topics.py`
        └── DeadLetterLimit       too many dead letters in a row to be bad data

Vendor errors are mapped to this tree once, in the adapter, with `raise … from`. Only the failure
policy of a worker and the HTTP layer catch it.
"""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """A part of the system that can be down; named in `/readyz` and in problem documents."""

    BROKER = "broker"
    STORE = "store"
    INDEX = "index"
    EMBEDDER = "embedder"


class SightlineError(Exception):
    """Root of every error that this project raises on purpose."""


class TransientError(SightlineError):
    """Waiting may help: retried with backoff, never dead-lettered."""


class PartUnavailable(TransientError):
    """A part did not answer, answered too slowly or refused.

    Args:
        part: which part.
        message: what was tried and what came back, without secrets.
        retry_after_s: seconds after which a retry makes sense.
    """

    def __init__(self, part: Part, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{part}: {message}")
        self.part = part
        self.retry_after_s = retry_after_s


class Overloaded(PartUnavailable):
    """A part works but too many requests wait for it."""


class ObjectDenied(TransientError):
    """The store works, but our credentials may not read this object: somebody must open the door.

    No part is down: whoever closes an object must not close the API with it.
    """


class PermanentError(SightlineError):
    """A failure that lasts: trying again changes nothing."""


class RejectReason(StrEnum):
    """Why an image cannot be indexed: machine-readable, stable, documented in `docs/images.md`."""

    EMPTY = "empty"
    UNSUPPORTED_MEDIA = "unsupported_media"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    OBJECT_MISSING = "object_missing"
    OBJECT_REFUSED = "object_refused"
    OBJECT_CHANGED = "object_changed"


class BadImage(PermanentError):
    """The bytes are not a picture that we accept.

    Args:
        reason: the machine-readable reason.
        message: a sentence that a person can act on.
    """

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ObjectMissing(PermanentError):
    """The object store has no such object."""


class ObjectRefused(PermanentError):
    """The object store answers, and will not hand out this one object, however long one waits.

    It may well be there: it is no `ObjectMissing`, for which images are deleted and records begun.
    """


class ObjectChanged(PermanentError):
    """An object's size or SHA-256 differs from what its event promised."""


class Conflict(PermanentError):
    """A compare-and-set lost: the stored value is no longer the one that was read."""


class NotFound(PermanentError):
    """There is no such image, none that the caller may see, or no such pool."""


class TooLarge(PermanentError):
    """A message or an object is over its bound."""


class Unreadable(PermanentError):
    """A stored record cannot be read: damaged, or written under other bounds. It is passed over."""


class IdReserved(PermanentError):
    """An image id has the form of a derived one (`s3-`, `f-`, `q-`), and is not the writer's."""


OF_ONE_OBJECT = (PermanentError, ObjectDenied)
"""What says something about the one object that was asked for, and nothing about the next."""


class RefusedToStart(SightlineError):
    """The process must not run like this; the message says what to do. Exit code 2."""


class SettingsInvalid(RefusedToStart):
    """Settings are unreadable or contradict each other."""


class GenerationMismatch(RefusedToStart):
    """The index generation was made by another model, preprocess or distance."""


class OriginMismatch(RefusedToStart):
    """The embedded index was made from another log or bucket than the settings name."""


class IndexOwned(RefusedToStart):
    """Another process owns the directory of the embedded index."""


class DiskFull(RefusedToStart):
    """Too little room under the embedded index: stop before its memory maps die of it."""


class TopicDrift(RefusedToStart):
    """The broker's topics differ from `schemas/topics.py` where it matters."""


class DeadLetterLimit(RefusedToStart):
    """So many dead letters that a misconfiguration is likelier than bad data."""
