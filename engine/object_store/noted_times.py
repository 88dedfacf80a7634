"""An instant noted under a key, by which processes tell each other how far one of them came."""

from __future__ import annotations

from datetime import UTC, datetime

from sightline.engine.errors import ObjectMissing, Unreadable
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes

_MAX_BYTES = 64


def noted_time(store: ObjectStore, bucket: str, key: str, *, now: datetime) -> datetime | None:
    """The past instant that was noted; None: there is none, or it tells nothing.

    One that cannot be read or names no zone tells nothing, nor does one of the future, noted by a
    clock that was wrong: work that waits for it would be put off.

    Raises:
        PartUnavailable: the store did not answer.
    """
    try:
        said = stored_bytes(store, bucket, key, max_bytes=_MAX_BYTES)
        noted = datetime.fromisoformat(said.decode())
    except (ObjectMissing, Unreadable, ValueError):
        return None
    return noted if noted.tzinfo is not None and noted <= now else None


def note_time(store: ObjectStore, bucket: str, key: str, moment: datetime) -> None:
    """Note an instant, in place of an earlier one.

    Raises:
        PartUnavailable: the store did not answer; it may be noted.
    """
    said = moment.astimezone(UTC).isoformat().encode()
    store.put(bucket, key, said, content_type="text/plain")
