"""An indexed image as a point of the vector store, and back: the same for every adapter.

The fields that filters read are plain (`searchable`, `listing`, `owner`, `tags`, `type`, `cluster`,
`version`, `tie`, `stage`, and of the operator's decision `moderated` with its fence), and so are
those that order equal scores; all else is JSON text, so that no store's own idea of numbers
(integers above 2⁶³, 1.0 against 1) changes attributes that are opaque to us.

A point has two halves, fenced apart: the image, written whole, and the decision, written into it.
Each write of either sets `searchable`, which says what both come to.
A decision about an image that is not known yet has a point whose image half is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np

from sightline.engine.records import (
    DecisionFence,
    Fence,
    GenerationSpec,
    IndexedDecision,
    IndexedImage,
)
from sightline.engine.vector_index.packed_features import Packing
from sightline.schemas.fields import Moderation
from sightline.schemas.images import ImageDeleted

if TYPE_CHECKING:
    from numpy.typing import NDArray

LISTED, UNLISTED = "listed", "unlisted"
"""Values of `listing`: what the owner says of the image."""
SHOWN, HIDDEN = "shown", "hidden"
"""Values of `searchable`: what owner and operator say together. Every search asks for `SHOWN`, and
for nothing else where it can: a second condition nearly doubles a scan's time (docs/adr/0019). A
keyword, since the engine's boolean matches are a trap; a point that lacks it is hidden."""
NOBODY = ""
"""The payload's owner of an image that has none. Points written before there was such a field have
none at all: reads for an owner look at those themselves."""
SEARCHABLE = "searchable"
KEYWORDS = (SEARCHABLE, "tags", "type", "moderated", "cluster")
"""Payload fields with a keyword index."""
SEARCH_KEYWORDS = (SEARCHABLE, "tags")
"""Those of them that searches ask for; only these get edges in the graph. (They bar `cluster`,
which holds of few points.)"""
NUMBERS = ("version", "tie", "stage", "since")
"""Payload fields with a numeric index: the fence, and what orders copies."""
TOMBSTONE_TYPE = ImageDeleted.TYPE
NO_IMAGE_TYPE = "none"
"""`type` of a point that holds a decision only."""
ALLOWED = str(Moderation.ALLOWED)
"""What a search lets through of `moderated`; all else hides, also what this release cannot read."""
DECIDED = tuple(map(str, Moderation))
"""The values of `moderated` that can be read; without a decision the field is absent."""
DECISION_VERSION, DECISION_TIE = "moderation_version", "moderation_tie"
"""Payload fields of the decision's fence."""
HELD = ("moderated", DECISION_VERSION, "decision")
"""Where any of these is, there is a decision, if perhaps one that cannot be read."""
NO_FENCE = Fence(-1, -1, -1)
"""Below every image: the fence of a point without one, and of one whose own cannot be read."""
UNFENCED = DecisionFence(0, -1)
"""Below every decision: the fence of one whose own cannot be read."""

VECTOR, FEATURES = "", "features"
"""The stores' names of a point's vectors: the one that is searched has none, as it always had."""

_NAMESPACE = UUID("6f1c1f5e-2d0a-5f3e-9b58-1f0c3a6b7d21")
PLAIN = ("reason", "message", "content_sha256", "perceptual_hash", "width", "height")
_NORM_TOLERANCE = 1e-3


@lru_cache(maxsize=1_024)
def point_id(image_id: str) -> str:
    """The point of an image: a UUIDv5, the same in every process and generation.

    An image is written and read back under it several times in a row; so long it is remembered.
    """
    return str(uuid5(_NAMESPACE, image_id))


def to_payload(image: IndexedImage) -> dict[str, Any]:
    """Everything about the image but its vectors, as the JSON object stored with the point."""
    entry = {name: getattr(image, name) for name in PLAIN} | {
        "event_id": image.event_id,
        "event_source": image.event_source,
        "outcome": str(image.outcome),
        "occurred": image.occurred.isoformat(),
        "appended": image.appended.isoformat(),
        "applied": image.applied.isoformat(),
    }
    return {
        SEARCHABLE: SHOWN if image.listed else HIDDEN,
        "listing": LISTED if image.listed_by_owner else UNLISTED,
        "owner": image.state.owner_id or NOBODY,
        "tags": list(image.state.tags),
        "type": image.state.TYPE,
        "version": image.version,
        "tie": image.tie,
        "stage": int(image.stage),
        "image_id": image.image_id,
        **_likeness(image),
        "winner": winner_payload(image),
        "state": image.state.model_dump_json(),
        "entry": json.dumps(entry, ensure_ascii=False, separators=(",", ":")),
    } | ({} if image.decision is None else decision_payload(image.decision))


def _likeness(image: IndexedImage) -> dict[str, Any]:
    """What tells copies apart; absent where the image has no picture."""
    said = {} if image.cluster is None else {"cluster": image.cluster}
    return said if image.since is None else said | {"since": to_millisecond(image.since)}


def to_millisecond(instant: datetime) -> int:
    """Milliseconds since 1970: exact in every store."""
    return round(instant.timestamp() * 1_000)


def decision_payload(decision: IndexedDecision) -> dict[str, Any]:
    """The half of a payload that is the operator's."""
    return {
        "moderated": str(decision.decision.moderation),
        DECISION_VERSION: decision.fence.version,
        DECISION_TIE: decision.fence.tie,
        "decision": decision.event.encode().decode(),
        "decision_place": decision_place(decision),
    }


def decision_place(decision: IndexedDecision) -> dict[str, Any]:
    """Where the winning decision lies, and since when; it may change by itself."""
    return decision.winner._asdict() | {"appended": decision.appended.isoformat()}


def no_image(decision: IndexedDecision) -> dict[str, Any]:
    """The payload of a point that holds a decision only: every image is above its fence."""
    return EMPTY_IMAGE | decision_payload(decision)


FENCES = (
    *("version", "tie", "stage"),
    *("moderated", DECISION_VERSION, DECISION_TIE, "decision", "decision_place"),
)
"""What tells whether a write went through, and the decision that it must bring."""
EMPTY_IMAGE: dict[str, Any] = {
    SEARCHABLE: HIDDEN,
    "listing": UNLISTED,
    "owner": NOBODY,
    "tags": [],
    "type": NO_IMAGE_TYPE,
    "version": -1,
    "tie": -1,
    "stage": -1,
    "winner": {},
    "state": "",
    "entry": "",
}
"""The image half of a point that holds a decision only."""


def winner_payload(image: IndexedImage) -> dict[str, Any]:
    """Where the winning event lies; the one part of a payload that may change by itself."""
    return image.winner._asdict()


def highest(images: Iterable[IndexedImage]) -> list[IndexedImage]:
    """One entry per image, the one with the highest fence, in order of first appearance."""
    best: dict[str, IndexedImage] = {}
    for image in images:
        known = best.get(image.image_id)
        if known is None or image.fence > known.fence:
            best[image.image_id] = image
    return list(best.values())


def named_vectors(
    image: IndexedImage, spec: GenerationSpec
) -> NDArray[np.float32] | dict[str, NDArray[np.float32]]:
    """What of an image is stored as vectors; with names where the generation keeps features."""
    if image.vector is None:
        return {}
    if spec.features is None:
        return image.vector
    if image.features is None:
        return {VECTOR: image.vector}
    return {VECTOR: image.vector, FEATURES: image.features.astype(np.float32)}


def check_vectors(images: Sequence[IndexedImage], spec: GenerationSpec) -> None:
    """Refuse what the stores would silently take, before a batch is half applied.

    Raises:
        ValueError: a vector of another length, not finite, or not of L2 norm 1; features that are
            not packed as the generation keeps them, or without a vector.
    """
    packing = Packing.of(spec)
    for image in images:
        if image.vector is not None:
            checked_vector(image.vector, spec.dimensions, of=image.image_id)
        if image.features is not None:
            _check_features(image, packing)


def _check_features(image: IndexedImage, packing: Packing | None) -> None:
    if packing is None:
        raise ValueError(f"features of {image.image_id}: this generation keeps none")
    if image.vector is None:
        raise ValueError(f"features of {image.image_id} without a vector")
    if image.features is not None:
        packing.check(image.features[None])


def checked_vector(vector: NDArray[np.float32], dimensions: int, *, of: str) -> NDArray[np.float32]:
    """The vector as contiguous float32 (dimensions,); `of` names it in the error.

    Raises:
        ValueError: another length, not finite, or not of L2 norm 1.
    """
    if vector.shape != (dimensions,):
        raise ValueError(f"vector of {of} has shape {vector.shape}, the index has ({dimensions},)")
    norm = float(np.linalg.norm(vector))
    if not abs(norm - 1.0) <= _NORM_TOLERANCE:  # also true of NaN
        raise ValueError(f"vector of {of} has L2 norm {norm}, 1 expected")
    return np.ascontiguousarray(vector, dtype=np.float32)


def spec_to_json(spec: GenerationSpec) -> dict[str, Any]:
    """The generation as its store records it; what it has none of is left out."""
    fields = {name: getattr(spec, name) for name in GenerationSpec.__dataclass_fields__}
    return {name: value for name, value in fields.items() if value is not None}


def spec_from_json(stored: Mapping[str, Any]) -> GenerationSpec:
    """What `spec_to_json` was given; fields of later versions are ignored."""
    known = GenerationSpec.__dataclass_fields__
    return GenerationSpec(**{name: value for name, value in stored.items() if name in known})
