"""Triples to Parquet: one commit per offset range, crashes and races, and what others read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from sightline.engine.clock import ManualClock
from sightline.engine.errors import (
    DeadLetterLimit,
    Part,
    PartUnavailable,
    RefusedToStart,
)
from sightline.engine.label_data.triple_columns import RETRACTIONS, TRIPLES
from sightline.engine.label_data.triple_manifest import FileKind, TripleManifest
from sightline.engine.label_data.triple_table import read_triples
from sightline.engine.label_data.triple_topic import held_in
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.ports import ObjectStore
from sightline.engine.records import Message, StoredObject
from sightline.engine.settings import SinkSettings
from sightline.schemas.images import ObjectReference
from sightline.schemas.searches import CropBox, UploadQuery
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.labels.sink.partition import PartitionSink
from tests.conftest import ROOT
from tests.label_rows import records, retracted, triple, triple_id

BUCKET = "sightline"
LIMITS = SinkSettings(max_rows=5, max_age_s=60.0, dead_letter_limit=2)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryObjectStore:
    """A store with our bucket."""
    directory = DirectoryObjectStore(tmp_path)
    directory.ensure_bucket(BUCKET)
    return directory


class Crashing(DirectoryObjectStore):
    """Dies at a manifest entry, before or after it is there."""

    crash = ""

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """See `ObjectStore.put_if`."""
        if self.crash == "before":
            raise PartUnavailable(Part.STORE, "gone")
        stored = super().put_if(bucket, key, data, expected_etag=expected_etag)
        if self.crash == "after":
            raise PartUnavailable(Part.STORE, "no answer")
        return stored


def sink_of(store: ObjectStore, buried: list[Message] | None = None) -> PartitionSink:
    """A sink of partition 0."""
    dead = buried if buried is not None else []
    rate = LetterRate(limit=LIMITS.dead_letter_limit, window_s=60.0, setting="sink")
    limit = LetterLimit(rate)

    def bury(message: Message, reason: str) -> None:
        limit.count(message, reason)
        dead.append(message)

    return PartitionSink(
        TripleManifest(store, BUCKET, TRAINING_TRIPLES.name),
        0,
        limits=LIMITS,
        clock=ManualClock(),
        bury=bury,
    )


def feed(sink: PartitionSink, messages: Iterable[Message]) -> None:
    """All of them."""
    for message in messages:
        sink.take(message)


def ids(store: ObjectStore) -> list[str]:
    """Of the triples that hold."""
    return list(read_triples(store, BUCKET)["triple_id"].to_pylist())


def parquet_keys(store: ObjectStore) -> list[str]:
    """Every Parquet file, listed or not."""
    return [o.key for o in store.list(BUCKET, "labels/") if o.key.endswith(".parquet")]


def test_rows_are_committed_once_and_the_next_sink_starts_behind_them(
    store: DirectoryObjectStore,
) -> None:
    """The manifest says where to go on; what is there already is dropped."""
    sink = sink_of(store)
    feed(sink, records([triple(1), triple(2), triple(3)]))
    flushed = sink.flush()
    assert flushed is not None
    assert (flushed.created, flushed.next_offset, flushed.triples) == (True, 3, 3)
    again = sink_of(store)
    assert again.start == 3
    feed(again, records([triple(4)], start=3))
    again.flush()
    assert ids(store) == [triple_id(n) for n in (1, 2, 3, 4)]
    entries = [s.entry for s in TripleManifest(store, BUCKET, TRAINING_TRIPLES.name).entries()]
    assert [(e.first_offset, e.end_offset) for e in entries] == [(0, 3), (3, 4)]


def test_a_repeated_triple_is_two_rows_and_is_read_once(store: DirectoryObjectStore) -> None:
    """One row per offset; readers keep one per id, and subtract what was taken back."""
    sink = sink_of(store)
    feed(sink, records([triple(1), triple(1), triple(2), retracted(2), triple(2)]))
    sink.flush()
    entry = next(TripleManifest(store, BUCKET, TRAINING_TRIPLES.name).entries()).entry
    assert {file.kind: file.rows for file in entry.files} == {
        FileKind.TRIPLES: 4,
        FileKind.RETRACTIONS: 1,
    }
    assert ids(store) == [triple_id(1)]


def test_a_crash_between_file_and_manifest_leaves_a_file_that_does_not_exist(
    tmp_path: Path,
) -> None:
    """The next sink writes the same offsets again; the stray file is never read."""
    store = Crashing(tmp_path)
    store.ensure_bucket(BUCKET)
    sink = sink_of(store)
    feed(sink, records([triple(1), triple(2)]))
    store.crash = "before"
    with pytest.raises(PartUnavailable):
        sink.flush()
    store.crash = ""
    assert ids(store) == []
    assert len(parquet_keys(store)) == 1
    after = sink_of(store)
    assert after.start == 0
    feed(after, records([triple(1), triple(2), triple(3)]))
    after.flush()
    assert ids(store) == [triple_id(n) for n in (1, 2, 3)]
    assert len(parquet_keys(store)) == 2


def test_a_commit_without_an_answer_is_not_done_twice(tmp_path: Path) -> None:
    """The entry was there all the same: the repeat finds it and clears away its own file."""
    store = Crashing(tmp_path)
    store.ensure_bucket(BUCKET)
    sink = sink_of(store)
    feed(sink, records([triple(1), triple(2)]))
    store.crash = "after"
    with pytest.raises(PartUnavailable):
        sink.flush()
    store.crash = ""
    feed(sink, records([triple(3)], start=2))
    lost = sink.flush()
    assert lost is not None
    assert (lost.created, lost.next_offset) == (False, 2)
    sink.flush()
    assert ids(store) == [triple_id(n) for n in (1, 2, 3)]
    assert len(parquet_keys(store)) == 2


def test_of_two_sinks_one_wins_and_the_other_goes_on_behind(store: DirectoryObjectStore) -> None:
    """Whatever the lengths of what they hold, each offset is in one entry."""
    fast, slow = sink_of(store), sink_of(store)
    feed(fast, records([triple(1), triple(2)]))
    feed(slow, records([triple(1), triple(2), triple(3)]))
    fast.flush()
    lost = slow.flush()
    assert lost is not None
    assert not lost.created
    won = slow.flush()
    assert won is not None
    assert (won.created, won.next_offset, won.triples) == (True, 3, 1)
    feed(fast, records([triple(3), triple(4)], start=2))
    fast.flush()
    fast.flush()
    assert ids(store) == [triple_id(n) for n in (1, 2, 3, 4)]
    assert read_triples(store, BUCKET)["offset"].to_pylist() == [0, 1, 2, 3]


def test_a_file_is_due_by_rows_or_by_age(store: DirectoryObjectStore) -> None:
    """Five rows at once, fewer after a minute, none never."""
    clock = ManualClock()
    manifest = TripleManifest(store, BUCKET, TRAINING_TRIPLES.name)
    sink = PartitionSink(manifest, 0, limits=LIMITS, clock=clock, bury=lambda *_: None)
    assert not sink.due()
    assert sink.flush() is None
    feed(sink, records([triple(1)]))
    clock.advance(59)
    assert not sink.due()
    clock.advance(1)
    assert sink.due()
    feed(sink, records([triple(n) for n in range(2, 6)], start=1))
    assert sink.due()


def test_unreadable_records_are_dead_letters_and_counted(store: DirectoryObjectStore) -> None:
    """The entry covers their offsets; more than the limit stop the sink before any commit."""
    buried: list[Message] = []
    sink = sink_of(store, buried)
    late = re.sub(rb'"epoch":\d+', b'"epoch":%d' % 2**63, triple(2))
    feed(sink, records([b"{}", triple(1), late]))
    flushed = sink.flush()
    assert flushed is not None
    assert flushed.unreadable == 2
    assert [message.offset for message in buried] == [0, 2]
    assert held_in(records([triple(1), late])).table.num_rows == 1
    feed(sink, records([b"{}"] * 3, start=3))
    with pytest.raises(DeadLetterLimit):
        sink.flush()
    assert sink_of(store).start == 3


def test_a_store_that_is_away_makes_nobody_bury_again(tmp_path: Path) -> None:
    """Each attempt would be a dead letter more; what came meanwhile is looked at, too."""
    store = Crashing(tmp_path)
    store.ensure_bucket(BUCKET)
    buried: list[Message] = []
    sink = sink_of(store, buried)
    feed(sink, records([b"{}", triple(1)]))
    store.crash = "before"
    for _ in range(3):
        with pytest.raises(PartUnavailable):
            sink.flush()
    assert [message.offset for message in buried] == [0]
    store.crash = ""
    feed(sink, records([triple(2)], start=2))
    flushed = sink.flush()
    assert flushed is not None
    assert (flushed.triples, flushed.unreadable) == (2, 1)
    assert ids(store) == [triple_id(1), triple_id(2)]
    feed(sink, records([b"{}"], start=3))
    sink.flush()
    assert [message.offset for message in buried][-1] == 3


def test_offsets_that_retention_took_are_told(store: DirectoryObjectStore) -> None:
    """The entry's first offset stays where the last one ended: the chain has no hole."""
    sink = sink_of(store)
    feed(sink, records([triple(1), triple(2)], start=7))
    sink.flush()
    entry = next(TripleManifest(store, BUCKET, TRAINING_TRIPLES.name).entries()).entry
    assert (entry.first_offset, entry.end_offset, entry.absent) == (0, 9, 7)


def test_a_topic_made_anew_is_refused(store: DirectoryObjectStore) -> None:
    """Its offsets begin again: they would be taken for what is there already."""
    sink = sink_of(store)
    feed(sink, records([triple(1), triple(2)]))
    sink.flush()
    with pytest.raises(RefusedToStart, match="made anew"):
        sink_of(store).take(records([triple(3)])[0])


def test_pandas_duckdb_and_torch_read_the_files_as_they_are(
    store: DirectoryObjectStore, tmp_path: Path
) -> None:
    """Plain columns of plain types; an uploaded query with its box, too."""
    # A second, which each worker of a run would take to collect its tests.
    import duckdb  # noqa: PLC0415
    import pandas as pd  # type: ignore[import-untyped] # noqa: PLC0415

    kept = ObjectReference(bucket=BUCKET, key="queries/x", size_bytes=1)
    box = CropBox(x=0.1, y=0.2, w=0.5, h=0.5)
    asked = UploadQuery(sha256="0" * 64, object=kept, crop=box)
    sink = sink_of(store)
    feed(sink, records([triple(1, query=asked), triple(2), retracted(3)]))
    sink.flush()
    entry = next(TripleManifest(store, BUCKET, TRAINING_TRIPLES.name).entries()).entry
    for file in entry.files:
        (tmp_path / f"{file.kind}.parquet").write_bytes(store.get(BUCKET, file.key))
    path = tmp_path / "triples.parquet"
    frame = pd.read_parquet(path)
    assert list(frame.columns) == TRIPLES.names
    assert frame["grade"].tolist() == [3, 3]
    assert frame["issued_at"].dt.tz is not None
    assert frame["query_w"].tolist()[0] == 0.5
    with duckdb.connect() as database:
        asked_for = "select count(*), min(query_kind), max(query_kind) from read_parquet(?)"
        found = database.execute(asked_for, [str(path)]).fetchone()
    assert found == (2, "image", "upload")
    weights = torch.from_numpy(frame["sampling_weight"].to_numpy(copy=True))
    assert weights.sum().item() == 2.0
    assert list(pd.read_parquet(tmp_path / "retractions.parquet").columns) == RETRACTIONS.names


def test_every_column_is_documented() -> None:
    """docs/labels-data.md has a line for each."""
    page = (ROOT / "docs/labels-data.md").read_text()
    columns = [*TRIPLES.names, *RETRACTIONS.names]
    assert [name for name in columns if f"`{name}`" not in page] == []
