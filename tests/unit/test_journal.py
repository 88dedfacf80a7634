"""The journal: what was recorded is there after a kill, winners stay, order is kept."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.embedded import journal as journals
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.schemas.images import ImageDeleted, tie
from tests.patience import patient

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DELETED = tie(ImageDeleted(image_id="a", version=2), "e2")


def record(image_id: str, version: int, tie: int = 0, value: bytes = b"{}") -> JournalRecord:
    """An event of an image."""
    return JournalRecord(
        image_id=image_id,
        version=version,
        tie=tie,
        topic="images.v1",
        value=value,
        headers=(("traceparent", b"\x00\xff"),),
        appended=NOON,
    )


def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    """Every field of every winner comes back from the file."""
    journal = Journal(tmp_path / "deep" / "journal.sqlite")
    journal.record([record("a", 1), record("b", 7, value=b"\x00")])
    journal.close()
    journal.close()
    again = Journal(tmp_path / "deep" / "journal.sqlite")
    assert list(again.winners()) == [record("a", 1), record("b", 7, value=b"\x00")]
    again.close()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 2))))
def test_winners_are_the_highest_before_and_after_compaction(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int, int]]
) -> None:
    """Whatever the order and repetition, one winner per image, and compaction keeps just those."""
    journal = Journal(tmp_path_factory.mktemp("journal") / "j.sqlite")
    journal.record([record(image, version, tie) for image, version, tie in events])
    expected = {image: max((v, t) for i, v, t in events if i == image) for image, _, _ in events}
    winners = list(journal.winners())
    assert {w.image_id: (w.version, w.tie) for w in winners} == expected
    assert len(winners) == len(expected)
    assert journal.compact() == len(events) - len(expected)
    assert journal.compact() == 0
    assert list(journal.winners()) == winners
    journal.close()


def test_forgotten_images_are_gone(tmp_path: Path) -> None:
    """A purged tombstone leaves the journal too, with what it outlived; a living image stays."""
    journal = Journal(tmp_path / "j.sqlite")
    journal.record([record("a", 1), record("a", 2, DELETED), record("b", 1)])
    journal.record([record("back", 2, DELETED), record("back", 3)])
    journal.forget(["a", "b", "back", "never there"])
    assert [(w.image_id, w.version) for w in journal.winners()] == [("b", 1), ("back", 3)]
    assert journal.count() == 3
    journal.close()


def test_reading_goes_on_while_others_write(tmp_path: Path) -> None:
    """A reader sees the journal as it was when it began."""
    journal = Journal(tmp_path / "j.sqlite")
    journal.record([record(f"i{n}", 1) for n in range(100)])
    seen = []
    for number, winner in enumerate(journal.winners()):
        journal.record([record(f"late{number}", 1)])
        seen.append(winner.image_id)
    assert seen == [f"i{n}" for n in range(100)]
    journal.close()


def test_a_file_that_is_no_journal_is_told(tmp_path: Path) -> None:
    """Another file in its place is an error of ours, not of SQLite."""
    (tmp_path / "j.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(PartUnavailable):
        Journal(tmp_path / "j.sqlite")


KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
journal = Journal(Path(sys.argv[1]))
for number in range(100_000):
    journal.record([JournalRecord(image_id=f"i{number}", version=1, tie=0, topic="images.v1",
        value=b"{}", appended=datetime.now(UTC))])
    print(number, flush=True)
"""


def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path) -> None:
    """A writer that is killed -9 leaves everything that it had acknowledged, and no damage."""
    file = tmp_path / "j.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for _ in range(50):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    acknowledged = 50 + len(rest)
    journal = Journal(file)
    assert {w.image_id for w in journal.winners()} >= {f"i{n}" for n in range(acknowledged)}
    journal.record([record("after", 1)])
    journal.close()


def test_what_was_compacted_away_is_in_no_file(tmp_path: Path) -> None:
    """A deleted image's title is overwritten, in the database and in its write-ahead log."""
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record([record("a", version, value=b"a person's title") for version in range(200)])
    journal.record([record("a", 1_000, tie=DELETED, value=b"deleted")])
    assert journal.compact() == 200
    files = [path for path in tmp_path.iterdir() if b"person" in path.read_bytes()]
    assert files == []
    journal.close()


def test_a_reader_holds_up_no_writer_and_keeps_nothing_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next compaction, which finds nothing new, cuts the log that was being read."""
    busy_s = patient(10)  # what waited for the reader would take as long
    patient_one = partial(journals._connected, patience_s=busy_s)
    monkeypatch.setattr(journals, "_connected", patient_one)
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record([record(f"i{n}", 1) for n in range(100)])
    journal.record([record("a", 1, value=b"a person's title"), record("a", 2, DELETED)])
    reading, began_s = journal.winners(), time.monotonic()
    next(reading)
    assert journal.compact() == 1
    assert time.monotonic() - began_s < busy_s
    assert len(list(reading)) == 100
    assert journal.compact() == 0
    assert not [path for path in tmp_path.iterdir() if b"person" in path.read_bytes()]
    journal.close()


def test_readers_that_come_and_go_fail_no_compaction(tmp_path: Path) -> None:
    """One that closes locks out for a moment who opens: of 300 cuts some 40 met such a moment."""
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record([record("gone", 1, DELETED), record("b", 1)])
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            journal.count()

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            for _ in range(300):
                journal.forget(["gone"])
        finally:
            done.set()
        for reader in readers:
            reader.result()
    journal.close()


def test_a_forgotten_tombstone_is_in_no_file(tmp_path: Path) -> None:
    """Nor is one that an earlier run, killed before it was cut off, left in the log."""
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record([record("gone", 1, DELETED, value=b"of a person"), record("b", 1)])
    journal.forget(["gone"])
    assert not [path for path in tmp_path.iterdir() if b"person" in path.read_bytes()]
    journal.record([record("b", 2, value=b"of a person"), record("b", 3)])
    with sqlite3.connect(tmp_path / "journal.sqlite") as other:
        other.execute("PRAGMA secure_delete=ON")
        other.execute("DELETE FROM events WHERE version < 3")
    other.close()
    again = Journal(tmp_path / "journal.sqlite")
    assert again.compact() == 0
    assert not [path for path in tmp_path.iterdir() if b"person" in path.read_bytes()]
    again.close()
    journal.close()
