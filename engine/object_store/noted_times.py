"""An instant noted under a key, by which processes tell each other how far one of them came."""

from __future__ import annotations

from datetime import UTC, datetime

from sightline.engine.errors import ObjectMissing
from sightline.engine.ports import ObjectStore


def noted_time(store: ObjectStore, bucket: str, key: str) -> datetime | None:
    """The instant that was noted; None: there is none, or it cannot be read.

    Raises:
        PartUnavailable: the store did not answer.
    """
    try:
        return datetime.fromisoformat(store.get(bucket, key).decode())
    except (ObjectMissing, ValueError):
        return None


def note_time(store: ObjectStore, bucket: str, key: str, moment: datetime) -> None:
    """Note an instant, in place of an earlier one.

    Raises:
        PartUnavailable: the store did not answer; it may be noted.
    """
    said = moment.astimezone(UTC).isoformat().encode()
    store.put(bucket, key, said, content_type="text/plain")
