"""A visible image in, a clean JPEG of it out: re-encoded, without metadata, made once and kept."""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256

from sightline.engine.errors import (
    BadImage,
    NotFound,
    ObjectChanged,
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    Part,
    PartUnavailable,
    TooLarge,
)
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.pictures.prepare import render
from sightline.engine.ports import ObjectStore
from sightline.engine.records import IndexedImage
from sightline.engine.settings import DecodeSettings
from sightline.schemas.images import ObjectReference
from sightline.schemas.indexed import Outcome
from sightline.search_api.http.limits.concurrency import Gate
from sightline.search_api.threads.pools import ApiPool

PREFIX = "thumbnails/"
SHOWABLE = frozenset({Outcome.INDEXED, Outcome.HIDDEN})
_NOT_TO_BE_SHOWN = (
    BadImage,
    ObjectMissing,
    ObjectRefused,
    ObjectDenied,
    ObjectChanged,
    TooLarge,
)
"""What is about this picture alone: the store answers."""
MAX_RENDITION_BYTES = 32 * 1024 * 1024


class Rendition(IntEnum):
    """The sizes that images are served in, each by its longest side in pixels."""

    THUMBNAIL = 320
    CONTENT = 1600


class Renditions:
    """Renders what it is given; who may see it is decided before, at each request."""

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        limits: DecodeSettings,
        *,
        health: Health,
        metrics: Metrics,
        at_once: int,
        threads: ApiPool,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._limits = limits
        self._health = health
        self._gate = Gate(at_once, metrics.renditions_in_flight)
        self._threads = threads

    async def of(self, image: IndexedImage, rendition: Rendition) -> bytes:
        """JPEG bytes, equal for equal originals.

        Raises:
            NotFound: the image has no bytes that can be shown (rejected, deleted, gone or closed).
            Overloaded: too many wait for the store and these threads.
            PartUnavailable: the store is down.
        """
        # The hash that the worker found, not the one that an event claims: a claim could name
        # somebody else's picture.
        content = image.content_sha256
        if image.object is None or content is None or image.outcome not in SHOWABLE:
            raise NotFound(f"image {image.image_id} has no bytes that can be shown")
        async with self._gate.enter(Part.STORE):
            return await self._shown(image, image.object, content, rendition)

    async def _shown(
        self, image: IndexedImage, source: ObjectReference, content: str, rendition: Rendition
    ) -> bytes:
        try:
            key = f"{PREFIX}{image.image_id}/{content}-{int(rendition)}.jpg"
            data = await self._threads.run(self._made, key, source, content, rendition)
        except PartUnavailable as error:
            self._health.down(error.part, str(error))
            raise
        except _NOT_TO_BE_SHOWN as error:
            # Not what it says: that may name buckets and keys.
            raise NotFound(f"image {image.image_id} has no bytes that can be shown") from error
        self._health.up(Part.STORE)
        return data

    def _made(self, key: str, source: ObjectReference, content: str, rendition: Rendition) -> bytes:
        try:
            return self._store.get(self._bucket, key, max_bytes=MAX_RENDITION_BYTES)
        except (ObjectMissing, ObjectRefused, TooLarge):  # none, or damaged: it is made again
            original = self._store.get(source.bucket, source.key, max_bytes=self._limits.max_bytes)
        if sha256(original).hexdigest() != content:
            raise ObjectChanged("its bytes are no longer those that were indexed")
        made = render(original, limits=self._limits, max_side=int(rendition))
        self._store.put(self._bucket, key, made, content_type="image/jpeg")
        return made
