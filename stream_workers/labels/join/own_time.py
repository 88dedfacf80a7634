"""When an interaction happened, by the clock that can be trusted most (docs/labels.md, 3)."""

from __future__ import annotations

from sightline.stream_workers.labels.codecs.interactions import Item


def own_time(item: Item, *, issued_ms: int, received_ms: int) -> int:
    """The client's monotonic clock since the answer, else the arrival at the API."""
    if item.since_answer_ms is not None:
        return issued_ms + item.since_answer_ms
    return received_ms
