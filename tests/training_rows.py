"""Triples as the sink's table, and judgements, for tests of data sets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from sightline.engine.label_data.judgements import Grade
from sightline.engine.label_data.triple_columns import TRIPLES

_FILLED: dict[str, Any] = {
    "grade": 3,
    "positive_position": 2,
    "negative_position": 1,
    "positive_score": 0.5,
    "negative_score": 0.6,
    "sampling_weight": 1.0,
    "mined_at": datetime.fromtimestamp(0, UTC),
    "epoch": 0,
    "actor_id": "actor",
    "anchor_perceptual_hash": "0" * 64,
    "positive_perceptual_hash": "0" * 64,
    "negative_perceptual_hash": "0" * 64,
    "model_digest": "model",
    "generation": "g",
    "variant": "v",
    "rules_version": "2",
    "query_kind": "image",
    "partition": 0,
    "offset": 0,
}


def triple(
    search: str, anchor: str, positive: str, negative: str, *, minute: int = 0, **changes: Any
) -> dict[str, Any]:
    """One row of the table: a search of a minute after 1970 began."""
    return _FILLED | {
        "triple_id": f"{search}|{anchor}|{positive}|{negative}",
        "search_id": search,
        "anchor_id": anchor,
        "positive_id": positive,
        "negative_id": negative,
        "query_image_id": anchor,
        "issued_at": datetime.fromtimestamp(60 * minute, UTC),
        **changes,
    }


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of `triple` as the table that `read_triples` gives."""
    return pa.Table.from_pylist(rows, TRIPLES)


def judgement(
    anchor: str, image: str, grade: int, *, judge: str = "key~ann", minute: int = 0, event: str = ""
) -> Grade:
    """A person's grade, given a minute after 1970 began."""
    return Grade(
        anchor=anchor,
        image=image,
        grade=grade,
        judge=judge,
        judged_at_ms=60_000 * minute,
        appended_ms=60_000 * minute,
        event_id=event or f"{judge}/{minute}",
    )
