"""Rows of one kind to one Parquet file in the store, under a name that nobody else has."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from sightline.engine.label_data.event_rows import Row
from sightline.engine.label_data.triple_columns import retractions_table, triples_table
from sightline.engine.label_data.triple_manifest import (
    FileKind,
    ManifestEntry,
    TripleFile,
    file_key,
)
from sightline.engine.ports import ObjectStore

CONTENT_TYPE = "application/vnd.apache.parquet"
TOKEN_BYTES = 8
_TABLES = {FileKind.TRIPLES: triples_table, FileKind.RETRACTIONS: retractions_table}


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file, zstd, one row group per 2^17 rows."""
    out = pa.BufferOutputStream()
    parquet.write_table(table, out, compression="zstd", row_group_size=1 << 17)
    return bytes(out.getvalue())


def put_rows(
    store: ObjectStore, bucket: str, entry: ManifestEntry, kind: FileKind, rows: Sequence[Row]
) -> tuple[TripleFile, bytes]:
    """Write rows as a file; see `put_file`."""
    return put_file(store, bucket, entry, kind, _TABLES[kind](rows))


def put_file(
    store: ObjectStore, bucket: str, entry: ManifestEntry, kind: FileKind, table: pa.Table
) -> tuple[TripleFile, bytes]:
    """Write a file for an entry: it does not exist until an entry lists it.

    Returns:
        What the entry lists, and the bytes.

    Raises:
        PartUnavailable: the store did not answer; what may have been written is an orphan.
    """
    data = parquet_bytes(table)
    key = file_key(entry, kind, secrets.token_hex(TOKEN_BYTES))
    store.put(bucket, key, data, content_type=CONTENT_TYPE)
    return TripleFile(key=key, kind=kind, rows=table.num_rows, size_bytes=len(data)), data
