"""Label events to rows: one per offset, by the columns of `triple_columns.py`."""

from __future__ import annotations

from typing import Any

from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.searches import ImageQuery, UploadQuery

_LAST_EPOCH = 2**63 - 1
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
