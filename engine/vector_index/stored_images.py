"""The payload of a point in, the image in it out; damaged, its fence still decides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json

from sightline.engine.errors import Unreadable
from sightline.engine.records import UNREADABLE, Fence, ImageStage, IndexedImage, WinnerLocation
from sightline.engine.vector_index.payload import NO_FENCE, PLAIN
from sightline.engine.vector_index.stored_decisions import (
    DAMAGED,
    LONG_AGO,
    NOWHERE,
    decision_of,
    whole_number,
)
from sightline.schemas.fields import MAX_VERSION
from sightline.schemas.images import (
    Authority,
    ImageChanged,
    ImageDeleted,
    ImageState,
    ImageUploaded,
)
from sightline.schemas.indexed import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray


_STATES: dict[str, type[ImageState]] = {
    state.TYPE: state for state in (ImageUploaded, ImageChanged, ImageDeleted)
}


def fence_of(payload: Mapping[str, Any]) -> Fence:
    """Reads the fence of a point's image half; below every image's where there is none to read."""
    fence = Fence(*(whole_number(payload, name) for name in Fence._fields))
    return fence if min(fence) >= 0 and fence.version <= MAX_VERSION else NO_FENCE


def from_payload(
    payload: Mapping[str, Any],
    vector: NDArray[np.float32] | None = None,
    features: NDArray[np.uint8] | None = None,
) -> IndexedImage:
    """The image that `to_payload` was given; vector and features only where they are handed in.

    Attributes are left out where they alone are out of bounds.

    Raises:
        Unreadable: it is damaged.
    """
    try:
        try:
            return _from_payload(payload, vector, features)
        except ValidationError:
            state = json.loads(payload["state"])
            state.pop("attributes", None)
            return _from_payload({**payload, "state": json.dumps(state)}, vector, features)
    except (*DAMAGED, RecursionError) as error:
        raise Unreadable(f"a point of the index is damaged: {str(error)[:200]}") from error


def unreadable_image(image_id: str, payload: Mapping[str, Any]) -> IndexedImage:
    """What is still known of it: nobody sees it, and what comes next must be above its fence."""
    fence = fence_of(payload)
    return IndexedImage(
        state=ImageDeleted(
            image_id=image_id, version=max(fence.version, 0), authority=Authority.SIGHTLINE
        ),
        event_id=UNREADABLE,
        event_source=UNREADABLE,
        tie=fence.tie,
        stage=ImageStage(min(max(fence.stage, min(ImageStage)), max(ImageStage))),
        outcome=Outcome.REJECTED,
        occurred=LONG_AGO,
        appended=LONG_AGO,
        applied=LONG_AGO,
        winner=NOWHERE,
        reason=UNREADABLE,
        message="What the index holds of this image cannot be read: upload it again, or delete it.",
        unreadable=True,
        decision=decision_of(payload, image_id),
    )


def _instant(milliseconds: Any) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1_000, UTC)


def _from_payload(
    payload: Mapping[str, Any],
    vector: NDArray[np.float32] | None,
    features: NDArray[np.uint8] | None,
) -> IndexedImage:
    entry = from_json(payload["entry"])
    winner = payload["winner"]
    state = _STATES[payload["type"]].model_validate_json(payload["state"])
    return IndexedImage(
        state=state,
        event_id=entry["event_id"],
        event_source=entry["event_source"],
        tie=int(payload["tie"]),
        stage=ImageStage(int(payload["stage"])),
        outcome=Outcome(entry["outcome"]),
        occurred=datetime.fromisoformat(entry["occurred"]),
        appended=datetime.fromisoformat(entry["appended"]),
        applied=datetime.fromisoformat(entry["applied"]),
        winner=WinnerLocation(winner["topic"], int(winner["partition"]), int(winner["offset"])),
        cluster=payload.get("cluster"),
        since=_instant(payload.get("since")),
        decision=decision_of(payload, state.image_id),
        vector=vector,
        features=features,
        **{name: entry[name] for name in PLAIN},
    )
