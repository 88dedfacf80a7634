"""Points as a store returns them in, images and decisions out: the reading side of `payload.py`.

What cannot be read costs itself only: a search and a scan pass over it, and a look at it by its id
finds that it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from sightline.engine.errors import Unreadable
from sightline.engine.records import GenerationSpec, IndexedDecision, IndexedImage, Sight
from sightline.engine.vector_index.payload import FEATURES, NO_IMAGE_TYPE, VECTOR, point_id
from sightline.engine.vector_index.stored_decisions import is_decided, stored_decision
from sightline.engine.vector_index.stored_images import from_payload, unreadable_image

if TYPE_CHECKING:
    from numpy.typing import NDArray


_log = logging.getLogger(__name__)


class Record(Protocol):
    """A point as the clients of both stores tell it."""

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """Its fields; None: none were asked for."""

    @property
    def vector(self) -> Any:
        """Its numbers, one a dimension, or such by name; empty or None: none were asked for."""


class StoredPoint(NamedTuple):
    """What a store returns for one point."""

    payload: Mapping[str, Any]
    vector: NDArray[np.float32] | None = None
    features: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, record: Record) -> StoredPoint:
        """What a client tells of a point; what it does not tell is absent, empty or None."""
        told = record.vector or {}
        named = told if isinstance(told, Mapping) else {VECTOR: told}
        vector, features = (
            np.asarray(numbers, dtype=np.float32) if (numbers := named.get(name)) else None
            for name in (VECTOR, FEATURES)
        )
        as_bytes = None if features is None else features.astype(np.uint8)
        return cls(record.payload or {}, vector, as_bytes)


def vectors_to_read(spec: GenerationSpec, *, vectors: bool, features: bool) -> list[str] | bool:
    """What to ask a store for of each point: the names of vectors, or False for none.

    A generation that keeps no features does not know their name.
    """
    asked = [(VECTOR, vectors), (FEATURES, features and spec.features is not None)]
    return [name for name, wanted in asked if wanted] or False


def images_of(points: Iterable[StoredPoint]) -> Iterator[IndexedImage]:
    """The images of points; one that cannot be read is logged and passed over."""
    return (image for point in points if (image := _image_of(point)) is not None)


def shown_images(points: Iterable[StoredPoint]) -> Iterator[IndexedImage]:
    """The images of points that a search found, as `shown_image` tells them."""
    return (image for point in points if (image := shown_image(point)) is not None)


def shown_image(point: StoredPoint) -> IndexedImage | None:
    """The image of a point that a search found; None: a decision hides it all the same.

    `searchable` may be of a release that did not know of it, or damaged. None, too, for what cannot
    be read.
    """
    image = _image_of(point)
    return None if image is None or image.blocked else image


def _image_of(point: StoredPoint) -> IndexedImage | None:
    if point.payload.get("type") == NO_IMAGE_TYPE:
        return None
    try:
        return from_payload(point.payload, point.vector, point.features)
    except Unreadable as error:
        _log.error("an unreadable point of the index is left out: %s", error)
        return None


def known_images(
    points: Iterable[tuple[str, StoredPoint]], image_ids: Iterable[str]
) -> dict[str, IndexedImage]:
    """The images among points, given by point id, that were asked for by image id.

    One that cannot be read is there all the same, as `unreadable`: its fence still decides.
    """
    names = {point_id(image_id): image_id for image_id in image_ids}
    found = {}
    for name, (payload, vector, features) in points:
        image_id = names[name]
        if payload.get("type") == NO_IMAGE_TYPE:
            continue
        try:
            found[image_id] = from_payload(payload, vector, features)
        except Unreadable as error:
            _log.error("what the index holds of image %s cannot be read: %s", image_id, error)
            found[image_id] = unreadable_image(image_id, payload)
    return found


def seen_images(
    points: Iterable[tuple[str, StoredPoint]],
    image_ids: Iterable[str],
    sight: Sight,
    *,
    vectors: bool,
) -> dict[str, IndexedImage]:
    """Those of the known images that a read may find; `points` with vectors, `vectors` or not."""
    known = known_images(points, image_ids)
    found = {name: image for name, image in known.items() if sight.shows(image)}
    return found if vectors else {i: replace(m, vector=None) for i, m in found.items()}


def decisions_of(points: Iterable[StoredPoint]) -> Iterator[IndexedDecision]:
    """The decisions of points; one that cannot be read is logged and passed over."""
    for payload, *_ in points:
        if not is_decided(payload):
            continue
        try:
            yield stored_decision(payload)
        except Unreadable as error:
            _log.error("an unreadable point of the index is left out: %s", error)


def decisions_by_image(payloads: Iterable[Mapping[str, Any]]) -> dict[str, IndexedDecision]:
    """The decisions of payloads, by the image that each is about."""
    return {d.image_id: d for d in decisions_of(StoredPoint(payload) for payload in payloads)}
