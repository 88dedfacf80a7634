"""The Parquet triples as one table: one row per triple id, without what was taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from pyarrow import parquet

from sightline.engine.errors import ObjectMissing, Unreadable
from sightline.engine.label_data.triple_columns import RETRACTIONS, TRIPLES
from sightline.engine.label_data.triple_manifest import (
    Ends,
    FileKind,
    ManifestEntry,
    TripleFile,
    TripleManifest,
    files_of,
    source_of,
)
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes
from sightline.schemas.topics import TRAINING_TRIPLES

ATTEMPTS = 5
"""A retraction may replace files while they are read; then the manifest is read again."""
T = TypeVar("T")
_IDS = ("epoch", "triple_id")


@dataclass(frozen=True, slots=True, eq=False)
class HeldTriples:
    """The triples that hold, and how far the topic was read for them."""

    table: pa.Table
    """By `triple_columns.TRIPLES`, ordered by epoch and id, each id once."""
    ends: Ends


def read_triples(
    store: ObjectStore, bucket: str, *, topic: str = TRAINING_TRIPLES.name
) -> pa.Table:
    """Every triple that holds, as a table; see `read_held`."""
    return read_held(store, bucket, topic=topic).table


def read_held(
    store: ObjectStore,
    bucket: str,
    *,
    topic: str = TRAINING_TRIPLES.name,
    until: Ends | None = None,
) -> HeldTriples:
    """Every triple that holds, ordered by epoch and id: mined, less retracted, each id once.

    Args:
        store: the object store.
        bucket: our own.
        topic: that the sink wrote, without prefix.
        until: only what was mined below these offsets, as an earlier call named them: the same
            triples again, less what was retracted since.

    Raises:
        ObjectMissing: files that the manifest lists are gone for good.
        PartUnavailable: the store did not answer.
    """
    manifest = TripleManifest(store, bucket, topic)
    return while_files_are_replaced(partial(_read, manifest, until))


def count_held(
    store: ObjectStore, bucket: str, until: Ends, *, topic: str = TRAINING_TRIPLES.name
) -> int:
    """How many triples mined below some offsets hold still; reads their ids alone.

    Raises:
        ObjectMissing, PartUnavailable: as `read_held`.
    """
    manifest = TripleManifest(store, bucket, topic)
    return int(while_files_are_replaced(partial(_read, manifest, until, _IDS)).table.num_rows)


def count_anchors(manifest: TripleManifest, entries: Callable[[], list[ManifestEntry]]) -> int:
    """How many distinct anchors the triples of some entries have; reads one column.

    Raises:
        ObjectMissing, PartUnavailable: as `read_held`.
    """

    def counted() -> int:
        files = files_of(entries(), FileKind.TRIPLES)
        anchors = read_files(manifest, files, columns=("anchor_id",))["anchor_id"]
        return int(pc.count_distinct(anchors).as_py())

    return while_files_are_replaced(counted)


def while_files_are_replaced(read: Callable[[], T]) -> T:
    """Read by the manifest; again, a few times, where files go that it listed.

    Raises:
        ObjectMissing: they are gone for good.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ObjectMissing):
            return read()
    return read()


def _read(manifest: TripleManifest, until: Ends | None, columns: Sequence[str] = ()) -> HeldTriples:
    entries = [stored.entry for stored in manifest.entries()]
    wanted = [e for e in entries if until is None or e.end_offset <= until.get(source_of(e), 0)]
    mined = read_files(manifest, files_of(wanted, FileKind.TRIPLES), columns=columns)
    taken_back = read_files(
        manifest, files_of(entries, FileKind.RETRACTIONS), columns=("triple_id",)
    )
    ends = {source_of(entry): entry.end_offset for entry in wanted}
    return HeldTriples(holding(mined, taken_back["triple_id"]), ends)


def read_files(
    manifest: TripleManifest, files: Sequence[TripleFile], *, columns: Sequence[str] = ()
) -> pa.Table:
    """Files of one kind as one table, row for row.

    Raises:
        ObjectMissing: a file is gone.
        Unreadable: one is damaged.
        PartUnavailable: the store did not answer.
    """
    wanted = list(columns) or None
    schema = TRIPLES if not files or files[0].kind is FileKind.TRIPLES else RETRACTIONS
    empty = schema.empty_table()
    tables = [_read_file(manifest, file.key, wanted) for file in files]
    return pa.concat_tables([empty if wanted is None else empty.select(wanted), *tables])


def _read_file(manifest: TripleManifest, key: str, columns: list[str] | None) -> pa.Table:
    data = stored_bytes(manifest.store, manifest.bucket, key, max_bytes=None)
    try:
        return parquet.read_table(pa.BufferReader(data), columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"{key} in bucket {manifest.bucket} is damaged: {error}") from error


def holding(mined: pa.Table, retracted_ids: pa.ChunkedArray) -> pa.Table:
    """Rows whose id was not taken back, the first of each id, by epoch and id."""
    kept = mined.filter(pc.invert(pc.is_in(mined["triple_id"], value_set=retracted_ids)))
    numbered = kept.append_column("row", pa.array(range(kept.num_rows), pa.int64()))
    firsts = numbered.group_by("triple_id").aggregate([("row", "min")])
    rows = firsts["row_min"].combine_chunks()
    return kept.take(rows).sort_by([("epoch", "ascending"), ("triple_id", "ascending")])
