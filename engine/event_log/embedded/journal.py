"""The embedded stack's memory of image events: SQLite, synced before an event is acknowledged.

The in-process broker forgets when it stops (docs/adr/0008). What stands here and has not been
applied by the index is published again at start; re-index and reconcile read it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.private_files import FILE_MODE, make_private_folders
from sightline.engine.records import Message
from sightline.schemas.topics import IMAGES_MODERATION

JOURNAL_FILE = "journal.sqlite"
"""In the data directory of an embedded stack."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    topic TEXT NOT NULL,
    value BLOB NOT NULL,
    headers TEXT NOT NULL,
    appended_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_image ON events (image_id, version, tie);
"""
_INSERT = (
    "INSERT INTO events (image_id, version, tie, topic, value, headers, appended_ms) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_DECISIONS = {"decisions": IMAGES_MODERATION.name}
_COLUMNS = "image_id, version, tie, topic, value, headers, appended_ms"
# An image has two winners: an event of its own, and the operator's decision about it. The first of
# several equal fences stays: they are one event, delivered again.
_BEATEN = """EXISTS (
    SELECT 1 FROM events AS other WHERE other.image_id = events.image_id AND
    (other.topic = :decisions) = (events.topic = :decisions) AND (
        (other.version, other.tie) > (events.version, events.tie)
        OR ((other.version, other.tie) = (events.version, events.tie)
            AND other.sequence < events.sequence)))
"""
_WINNERS = f"""
SELECT {_COLUMNS} FROM events
WHERE (:topics IS NULL OR topic IN (SELECT value FROM json_each(:topics))) AND NOT {_BEATEN}
ORDER BY events.sequence
"""  # noqa: S608 - constants
_ALL = f"""
SELECT {_COLUMNS} FROM events WHERE topic IN (SELECT value FROM json_each(:topics))
ORDER BY events.sequence
"""  # noqa: S608 - constants
_RECORDED = "SELECT EXISTS (SELECT 1 FROM events WHERE image_id = ? AND value = ?)"
_LOSERS = f"DELETE FROM events WHERE {_BEATEN}"  # noqa: S608 - constants
_LOWEST_DELETED_TIE = 3 * 2**32
"""A tie's rank says what an event hides (docs/adr/0003): from here on it is a delete."""
_TOMBSTONE = """
DELETE FROM events WHERE image_id = :image AND topic <> :decisions AND :deleted <= (
    SELECT tie FROM events WHERE image_id = :image AND topic <> :decisions
    ORDER BY version DESC, tie DESC LIMIT 1)
"""
_BUSY_S = 10.0
_PRIMARY = 0xFF
"""The bits of an extended result code of SQLite that say its kind."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRecord:
    """One image event, or decision about an image, as it was handed in."""

    image_id: str
    version: int
    tie: int
    topic: str
    """Unprefixed: the lane that it came on, or the decisions' own."""
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    appended: datetime


class Journal:
    """The image events of one data directory; safe across threads, written by its owner only.

    Args:
        file: the database, made if it is not there.

    Raises:
        PartUnavailable: it cannot be opened: no room, no right, or no database.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._to_cut = True  # the write-ahead log may hold what went in an earlier run
        with _reported("opening the journal"):
            make_private_folders(file.parent)
            file.touch(mode=FILE_MODE)  # the log and index that SQLite puts beside it follow
            self._writer = _connected(file)
            # WAL with FULL syncs the log at each commit: what is committed survives a power cut.
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            # What is compacted away is overwritten, not only unlinked: it may be a person's.
            self._writer.execute("PRAGMA secure_delete=ON")
            self._writer.executescript(_SCHEMA)

    def record(self, records: Sequence[JournalRecord]) -> None:
        """Write all or none; durable when it returns.

        Raises:
            PartUnavailable: not written, for instance as the disk is full.
        """
        with _reported("writing the journal"), self._lock, self._writer:
            self._writer.executemany(_INSERT, map(_to_row, records))

    def winners(self, topics: Collection[str] = ()) -> Iterator[JournalRecord]:
        """Each image's record of the highest (version, tie), and each decision's, as written.

        Args:
            topics: only what came on them: the image topics, or that of decisions; none: all.
        """
        yield from winners_in(self._file, topics)

    def count(self) -> int:
        """How many records it holds, losers included."""
        with _reported("reading the journal"), closing(_connected(self._file)) as reader:
            return int(reader.execute("SELECT count(*) FROM events").fetchone()[0])

    def compact(self) -> int:
        """Keep only the winner of each image; how many records went. A repeat does nothing."""
        with _reported("compacting the journal"), self._lock:
            with self._writer:
                gone = self._writer.execute(_LOSERS, _DECISIONS).rowcount
            self._to_cut |= gone > 0
            self._cut_log()
            return gone

    def forget(self, image_ids: Collection[str]) -> None:
        """Remove tombstones for good, after their retention; what is alive again stays."""
        known = _DECISIONS | {"deleted": _LOWEST_DELETED_TIE}
        rows = [known | {"image": image_id} for image_id in image_ids]
        with _reported("writing the journal"), self._lock:
            with self._writer:
                self._writer.executemany(_TOMBSTONE, rows)
            self._to_cut = True
            self._cut_log()

    def close(self) -> None:
        """Let go of the file; repeated calls do nothing."""
        with self._lock:
            self._writer.close()

    def _cut_log(self) -> None:
        """Cut the write-ahead log, which holds what was overwritten; the next time, if it is read.

        To wait for a reader would hold up all who write, and a re-index reads for minutes.
        """
        if self._to_cut:
            self._to_cut = not _cut(self._file)


def _cut(file: Path) -> bool:
    """Whether nobody was reading the file, nor letting go of it, and its log could be cut."""
    try:
        with closing(_connected(file, patience_s=0.0)) as cutter:
            return bool(cutter.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY:
            raise
        return False  # a reader that closes locks out, for a moment, who opens


def winners_in(file: Path, topics: Collection[str] = ()) -> Iterator[JournalRecord]:
    """The same as `Journal.winners`, for any process of the owner's user; nothing of no file.

    Raises:
        PartUnavailable: the journal cannot be read.
    """
    wanted = _DECISIONS | {"topics": json.dumps([*topics]) if topics else None}
    yield from _selected(file, _WINNERS, wanted)


def records_in(file: Path, topics: Collection[str]) -> Iterator[JournalRecord]:
    """All that came on these topics and was not compacted since; else as `winners_in`."""
    yield from _selected(file, _ALL, {"topics": json.dumps([*topics])})


def is_recorded(file: Path, image_id: str, value: bytes | None) -> bool:
    """Whether the journal has these very bytes of an image. Raises `PartUnavailable`."""
    if not file.exists():
        return False
    with _reported("reading the journal"), closing(_connected(file)) as reader:
        return bool(reader.execute(_RECORDED, (image_id, value)).fetchone()[0])


def _selected(file: Path, query: str, wanted: Mapping[str, str | None]) -> Iterator[JournalRecord]:
    if not file.exists():
        return
    with _reported("reading the journal"), closing(_connected(file)) as reader:
        for row in reader.execute(query, wanted):
            try:
                yield _of_row(row)
            except (ValueError, TypeError, OverflowError) as error:
                _log.error("passed over a damaged record of image %s: %s", row[0], error)


def as_messages(records: Iterable[JournalRecord]) -> Iterator[Message]:
    """Journaled events as readers of the log take them; of their places only the order says."""
    for offset, record in enumerate(records):
        yield Message(
            topic=record.topic,
            partition=0,
            offset=offset,
            key=record.image_id.encode(),
            value=record.value,
            timestamp=record.appended,
            headers=record.headers,
        )


def _connected(file: Path, *, patience_s: float = _BUSY_S) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=patience_s, check_same_thread=False)


@contextmanager
def _reported(doing: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise PartUnavailable(Part.BROKER, f"{doing}: {error}") from error


def _to_row(record: JournalRecord) -> tuple[str, int, int, str, bytes, str, int]:
    headers = json.dumps([(name, value.hex()) for name, value in record.headers])
    stamp_ms = round(record.appended.timestamp() * 1000)
    return (
        record.image_id,
        record.version,
        record.tie,
        record.topic,
        record.value,
        headers,
        stamp_ms,
    )


def _of_row(row: tuple[str, int, int, str, bytes, str, int]) -> JournalRecord:
    image_id, version, tie, topic, value, headers, stamp_ms = row
    return JournalRecord(
        image_id=image_id,
        version=version,
        tie=tie,
        topic=topic,
        value=value,
        headers=tuple((name, bytes.fromhex(data)) for name, data in json.loads(headers)),
        appended=datetime.fromtimestamp(stamp_ms / 1000, UTC),
    )
