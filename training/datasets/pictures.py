"""The image log and the triples in, where the picture of each image and uploaded query lies out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from sightline.engine.event_log.events import events_in
from sightline.engine.records import Message
from sightline.engine.search_ids import QUERY_PREFIX
from sightline.schemas.fields import Moderation
from sightline.schemas.images import ImageState, ObjectReference, hiding_rank, tie
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.searches import CropBox
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_MODERATION

IMAGE_TOPICS = (IMAGES.name, IMAGES_BACKFILL.name, IMAGES_MODERATION.name)
"""What `public_pictures` reads."""
_UPLOAD = ("query_bucket", "query_key", "query_sha256", "query_x", "query_y", "query_w", "query_h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Where the bytes of a picture lie, and which part of it is looked at."""

    bucket: str
    key: str
    sha256: str | None = None
    """Hash of the bytes; None: nobody said."""
    crop: CropBox | None = None
    """None: the whole picture."""
    group: str | None = None
    """Several photos of one thing share it."""
    tags: tuple[str, ...] = ()
    """What its owner says of it."""


def public_pictures(messages: Iterable[Message]) -> dict[str, Picture]:
    """Where each image lies that everybody may see, by the newest of its events.

    Images that are deleted, private, or blocked by their owner or the operator teach nothing, also
    where their triples are still to be taken back.

    Args:
        messages: of `IMAGE_TOPICS` from their beginning; unreadable records are passed over.
    """
    newest: dict[str, tuple[tuple[int, int], ImageState]] = {}
    decided: dict[str, ImageModerated] = {}
    for _, event in events_in(messages):
        data = event.data
        if isinstance(data, ImageState):
            fence = (data.version, tie(data, event.id))
            if data.image_id not in newest or fence > newest[data.image_id][0]:
                newest[data.image_id] = fence, data
        elif isinstance(data, ImageModerated):
            before = decided.get(data.image_id)
            if before is None or data.version > before.version:
                decided[data.image_id] = data
    blocked = {i for i, data in decided.items() if data.moderation is Moderation.BLOCKED}
    return {
        image: _picture(state.object, state)
        for image, (_, state) in newest.items()
        if hiding_rank(state) == 0 and image not in blocked and state.object is not None
    }


def uploaded_pictures(table: pa.Table) -> dict[str, Picture]:
    """Where the pictures of queries that were uploaded lie, by anchor id.

    Whatever else an impression names as its picture, a private image's too, teaches nothing.

    Args:
        table: of `triple_columns.TRIPLES`.
    """
    queries = pc.fill_null(pc.starts_with(table["query_key"], QUERY_PREFIX), False)  # noqa: FBT003
    kept = pc.and_(pc.equal(table["query_kind"], "upload"), queries)
    distinct = table.filter(kept).group_by(["anchor_id", *_UPLOAD]).aggregate([])
    rows = sorted(distinct.to_pylist(), key=str, reverse=True)
    return {row["anchor_id"]: _uploaded(*(row[name] for name in _UPLOAD)) for row in rows}


def _picture(stored: ObjectReference, state: ImageState) -> Picture:
    return Picture(
        bucket=stored.bucket,
        key=stored.key,
        sha256=stored.sha256,
        group=state.group_id,
        tags=state.tags,
    )


def _uploaded(bucket: str, key: str, sha256: str | None, *box: float | None) -> Picture:
    x, y, w, h = box
    crop = None
    if x is not None and y is not None and w is not None and h is not None:
        crop = CropBox(x=x, y=y, w=w, h=h)
    return Picture(bucket=bucket, key=key, sha256=sha256, crop=crop)
