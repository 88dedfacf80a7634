"""Pictures in the object store in, their features out; what is gone or broken is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.embedder import Runtime
from sightline.engine.errors import (
    BadImage,
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    RejectReason,
    TooLarge,
)
from sightline.engine.pictures.prepare import PreparedImage, prepare
from sightline.engine.ports import ObjectStore
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from sightline.schemas.searches import CropBox
from sightline.training.datasets.feature_cache import FeatureCache, Seen
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pictures import Picture
from sightline.training.tracking import Track, untracked

UNKNOWN, DENIED = "no_public_image", "object_denied"
_REASONS: Mapping[type[Exception], str] = {
    ObjectRefused: RejectReason.OBJECT_REFUSED,
    ObjectMissing: RejectReason.OBJECT_MISSING,
    ObjectDenied: DENIED,
    TooLarge: RejectReason.TOO_MANY_BYTES,
}
"""Why a picture is left out, beside the reasons of a `BadImage`; the first that fits."""
_BATCH = 8
_Look = Seen | str
"""What was seen, or why nothing was."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A picture that only the network has yet to see."""

    sha256: str
    crop: CropBox | None
    prepared: PreparedImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Features of the pictures that could be read, and what became of the others."""

    features: PictureFeatures
    left_out: Mapping[str, int]
    """How many, by reason."""
    kept: int
    """How many came from the cache."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FeatureMaker:
    """Reads, decodes and runs the network, one thread per core; each picture once.

    Args:
        store: holds the pictures.
        runtime: gives the features.
        framing: of the network's crops.
        limits: of what is decoded.
        cache: of features.
        threads: that decode at once.
    """

    store: ObjectStore
    runtime: Runtime
    framing: Framing
    limits: DecodeSettings
    cache: FeatureCache
    threads: int

    def features_of(
        self,
        images: Sequence[str],
        pictures: Mapping[str, Picture],
        *,
        track: Track = untracked,
    ) -> Made:
        """Look at the pictures of some images; whatever is wrong with one stops no other.

        Args:
            images: ids, in any order.
            pictures: where they lie; an image that is not among them is left out.
            track: shows how far it is.

        Raises:
            PartUnavailable: the store did not answer; what was made is kept, so repeat it.
        """
        wanted = sorted({*images})
        known = [image for image in wanted if image in pictures]
        batches = [known[at : at + _BATCH] for at in range(0, len(known), _BATCH)]
        with ThreadPoolExecutor(self.threads) as threads:
            looked = threads.map(lambda batch: self._batch([pictures[i] for i in batch]), batches)
            every = track((look for part in looked for look in part), "pictures", len(known))
            looks = dict(zip(known, every, strict=True))
        left_out = Counter(look for look in looks.values() if isinstance(look, str))
        left_out[UNKNOWN] = len(wanted) - len(known)
        seen = {image: look for image, look in looks.items() if isinstance(look, Seen)}
        return Made(
            features=_together(seen),
            left_out={str(reason): count for reason, count in sorted(left_out.items()) if count},
            kept=sum(look.kept for look in seen.values()),
        )

    def _batch(self, pictures: Sequence[Picture]) -> list[_Look]:
        looks = [self._look(picture) for picture in pictures]
        crops = [look.prepared.crop for look in looks if isinstance(look, _Ready)]
        rows = iter(self.runtime.features(np.stack(crops)) if crops else ())
        return [
            self._made(look, next(rows)) if isinstance(look, _Ready) else look for look in looks
        ]

    def _look(self, picture: Picture) -> _Look | _Ready:
        """What is kept of a picture, else its pixels, else why there are none."""
        if picture.sha256 is not None:
            kept = self.cache.get(picture.sha256, picture.crop)
            if kept is not None:
                return kept
        return self._read(picture)

    def _read(self, picture: Picture) -> _Look | _Ready:
        """Its pixels, unless its bytes are known; else why there are none."""
        try:
            data = self.store.get(picture.bucket, picture.key, max_bytes=self.limits.max_bytes)
            digest = sha256(data).hexdigest()
            if picture.sha256 not in {None, digest}:
                return RejectReason.OBJECT_CHANGED
            kept = self.cache.get(digest, picture.crop)
            if kept is not None:
                return kept
            prepared = prepare(data, limits=self.limits, framing=self.framing, box=picture.crop)
        except BadImage as error:
            return error.reason
        except tuple(_REASONS) as error:
            return next(said for kind, said in _REASONS.items() if isinstance(error, kind))
        return _Ready(digest, picture.crop, prepared)

    def _made(self, ready: _Ready, features: NDArray[np.float32]) -> Seen:
        seen = Seen(features, ready.prepared.perceptual_hash)
        self.cache.put(ready.sha256, ready.crop, seen)
        return seen


def _together(seen: Mapping[str, Seen]) -> PictureFeatures:
    """All that was seen as rows, in the order of the ids."""
    rows = [seen[image].features for image in sorted(seen)]
    return PictureFeatures(
        images=tuple(sorted(seen)),
        features=np.stack(rows) if rows else np.empty((0, 0), np.float32),
        hashes=tuple(seen[image].perceptual_hash for image in sorted(seen)),
    )
