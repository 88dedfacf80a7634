"""Pictures of the catalogue and models in, what their networks say of the pictures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.embedder import Runtime
from sightline.engine.errors import OF_ONE_OBJECT, SettingsInvalid
from sightline.engine.ports import ObjectStore
from sightline.engine.records.framing import Framing
from sightline.engine.settings import Settings
from sightline.infra.commands.learning.networks import feature_maker, network_runtime
from sightline.infra.commands.learning.query_set import small_picture
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.picture_features import FeatureMaker
from sightline.training.datasets.pictures import Picture
from sightline.training.datasets.stored_crops import stored_crop
from sightline.training.models.candidates import Candidate


@dataclass(frozen=True, slots=True, eq=False)
class StoredPictures:
    """Some pictures, seen by the networks of models; each network looks at each once.

    Args:
        settings: the process's.
        store: holds the pictures.
        pictures: where each lies, by id.
        images: which of them are looked at; those that are gone or broken are left out.
        cache: where features are kept; none: `~/.cache/sightline/features`.
    """

    settings: Settings
    store: ObjectStore
    pictures: Mapping[str, Picture]
    images: Sequence[str]
    _: KW_ONLY
    cache: Path | None = None
    _seen: dict[tuple[str, ...], PictureFeatures] = field(default_factory=dict, init=False)
    _runtimes: dict[tuple[str, ...], Runtime] = field(default_factory=dict, init=False)

    def features(self, model: Candidate) -> PictureFeatures:
        """Features of the network that the model lies over.

        Raises:
            SettingsInvalid: other pictures could be read than a moment ago, by another network.
            PartUnavailable: the store did not answer; a repeat goes on from the cache.
        """
        if model.network not in self._seen:
            made = self._maker(model).features_of(self.images, self.pictures).features
            if any(other.images != made.images for other in self._seen.values()):
                raise SettingsInvalid("pictures have gone while they were looked at: repeat it")
            self._seen[model.network] = made
        return self._seen[model.network]

    def tags(self, image: str) -> tuple[str, ...]:
        """What the owner of one of the pictures says of it; nothing of an uploaded query."""
        return self.pictures[image].tags

    def small(self, image: str) -> bytes | None:
        """A small JPEG of one of the pictures; None: its features are known, and it is gone.

        Raises:
            PartUnavailable: the store did not answer.
        """
        picture, limits = self.pictures[image], self.settings.decode
        with suppress(*OF_ONE_OBJECT):
            return small_picture(
                self.store.get(picture.bucket, picture.key, max_bytes=limits.max_bytes)
            )
        return None

    def crops(self, images: Sequence[str], framing: Framing) -> dict[int, NDArray[np.uint8]]:
        """Some of the pictures as the network sees them, (size, size, 3), by place in `images`.

        Those that cannot be read any more, though their features are known, are left out.

        Raises:
            PartUnavailable: the store did not answer.
        """
        crops = {}
        for at, image in enumerate(images):
            with suppress(*OF_ONE_OBJECT):
                crops[at] = stored_crop(
                    self.store, self.pictures[image], self.settings.decode, framing
                )
        return crops

    def runtime(self, model: Candidate) -> Runtime:
        """What runs the network that the model lies over."""
        if model.network not in self._runtimes:
            self._runtimes[model.network] = network_runtime(model.source, self.settings.embedder)
        return self._runtimes[model.network]

    def _maker(self, model: Candidate) -> FeatureMaker:
        runtime = self.runtime(model)
        return feature_maker(self.settings, self.store, self.cache, model.source, runtime)
