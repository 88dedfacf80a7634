"""Label events to Arrow rows: the columns that data sets are read from (docs/labels-data.md).

One row per offset. Every column of `TRIPLES` is filled unless it says so; text is plain text, times
are UTC, hashes are hex: pandas, DuckDB and torch read the files as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.searches import ImageQuery, UploadQuery

SCHEMA_VERSION = "1"
_TIME = pa.timestamp("us", tz="UTC")
_LAST_EPOCH = 2**63 - 1
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

_SAME = (
    *("anchor_id", "positive_id", "negative_id", "grade", "positive_position"),
    *("negative_position", "positive_score", "negative_score", "sampling_weight", "search_id"),
    *("issued_at", "epoch", "actor_id", "anchor_perceptual_hash", "positive_perceptual_hash"),
    *("negative_perceptual_hash", "model_digest", "generation", "variant", "rules_version"),
    "user_pseudonym",
)
Row = dict[str, Any]


def triple_row(event: Event[TripleMined], message: Message) -> Row:
    """A mined triple and where it lies, by column.

    Raises:
        ContractError: its epoch is later than a file can say.
    """
    if event.data.epoch > _LAST_EPOCH:
        raise ContractError("data.epoch", f"later than {_LAST_EPOCH}")
    row: Row = {name: getattr(event.data, name) for name in _SAME}
    row |= {"triple_id": event.id, "mined_at": event.time}
    return row | _query(event.data.query) | _place(message)


def retraction_row(event: Event[TripleRetracted], message: Message) -> Row:
    """A retraction and where it lies, by column."""
    row: Row = event.data.model_dump(mode="json")
    return row | {"retracted_at": event.time} | _place(message)


def triples_table(rows: Sequence[Row]) -> pa.Table:
    """Rows of `triple_row` as a table of `TRIPLES`."""
    return pa.Table.from_pylist(list(rows), TRIPLES)


def retractions_table(rows: Sequence[Row]) -> pa.Table:
    """Rows of `retraction_row` as a table of `RETRACTIONS`."""
    return pa.Table.from_pylist(list(rows), RETRACTIONS)


def _query(query: ImageQuery | UploadQuery) -> Row:
    if isinstance(query, ImageQuery):
        return {"query_kind": query.kind, "query_image_id": query.image_id}
    row: Row = {"query_kind": query.kind, "query_sha256": query.sha256}
    if query.object is not None:
        row |= {"query_bucket": query.object.bucket, "query_key": query.object.key}
    if query.crop is not None:
        box = query.crop
        row |= {"query_x": box.x, "query_y": box.y, "query_w": box.w, "query_h": box.h}
    return row


def _place(message: Message) -> Row:
    return {"partition": message.partition, "offset": message.offset}
