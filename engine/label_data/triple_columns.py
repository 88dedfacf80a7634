"""Rows to Arrow tables: the columns that data sets are read from (docs/labels-data.md).

Every column of `TRIPLES` is filled unless it says so; text is plain text, times
are UTC, hashes are hex: pandas, DuckDB and torch read the files as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa  # type: ignore[import-untyped]

from sightline.engine.label_data.event_rows import Row

SCHEMA_VERSION = "1"
_TIME = pa.timestamp("us", tz="UTC")
_PLACE = [
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
]


def _schema(name: str, filled: dict[str, pa.DataType], maybe: dict[str, pa.DataType]) -> pa.Schema:
    fields = [pa.field(column, kind, nullable=False) for column, kind in filled.items()]
    fields += [pa.field(column, kind) for column, kind in maybe.items()]
    return pa.schema(fields + _PLACE, metadata={"sightline": f"{name}.v{SCHEMA_VERSION}"})


TRIPLES = _schema(
    "triples",
    {
        "triple_id": pa.string(),
        "anchor_id": pa.string(),
        "positive_id": pa.string(),
        "negative_id": pa.string(),
        "grade": pa.int8(),
        "positive_position": pa.int16(),
        "negative_position": pa.int16(),
        "positive_score": pa.float64(),
        "negative_score": pa.float64(),
        "sampling_weight": pa.float64(),
        "search_id": pa.string(),
        "issued_at": _TIME,
        "mined_at": _TIME,
        "epoch": pa.int64(),
        "actor_id": pa.string(),
        "anchor_perceptual_hash": pa.string(),
        "positive_perceptual_hash": pa.string(),
        "negative_perceptual_hash": pa.string(),
        "model_digest": pa.string(),
        "generation": pa.string(),
        "variant": pa.string(),
        "rules_version": pa.string(),
        "query_kind": pa.string(),
    },
    {
        "user_pseudonym": pa.string(),
        "query_image_id": pa.string(),
        "query_sha256": pa.string(),
        "query_bucket": pa.string(),
        "query_key": pa.string(),
        "query_x": pa.float64(),
        "query_y": pa.float64(),
        "query_w": pa.float64(),
        "query_h": pa.float64(),
    },
)
"""One mined triple per row."""

RETRACTIONS = _schema(
    "retractions",
    {
        "triple_id": pa.string(),
        "anchor_id": pa.string(),
        "cause": pa.string(),
        "cause_event_id": pa.string(),
        "retracted_at": _TIME,
    },
    {},
)
"""One retraction per row."""


def triples_table(rows: Sequence[Row]) -> pa.Table:
    """Rows of `triple_row` as a table of `TRIPLES`."""
    return pa.Table.from_pylist(list(rows), TRIPLES)


def retractions_table(rows: Sequence[Row]) -> pa.Table:
    """Rows of `retraction_row` as a table of `RETRACTIONS`."""
    return pa.Table.from_pylist(list(rows), RETRACTIONS)
