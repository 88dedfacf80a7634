"""A site of drawn photos, of which a model could see more than the one that serves does."""

from __future__ import annotations

import numpy as np

from benchmarks.photo_features import LabelledPhotos
from benchmarks.photo_models import PhotoSite
from sightline.engine.embedding.projections import Projection

LABELS, EACH, WIDTH = 4, 30, 16


def drawn_site() -> PhotoSite:
    """Labels differ in a quarter of the features, and photos of one label in the others.

    A third of the photos each for the site, the gallery and the queries.
    """
    random = np.random.default_rng(3)
    count = LABELS * EACH
    centres = np.repeat(random.normal(size=(LABELS, WIDTH)), EACH, axis=0)
    centres[:, WIDTH // 4 :] = 0
    photos = LabelledPhotos(
        images=np.array([f"photo-{n}" for n in range(count)]),
        labels=np.repeat([f"kind/{n}" for n in range(LABELS)], EACH),
        families=np.array(["all"] * count),
        splits=np.resize(["train", "gallery", "query"], count),
        hashes=np.array([random.bytes(32).hex() for _ in range(count)]),
        features=(2 * centres + random.normal(size=(count, WIDTH))).astype(np.float32),
    )
    start = Projection(np.zeros(WIDTH, np.float32), np.eye(WIDTH, dtype=np.float32))
    return PhotoSite(photos, start, start, "m1")
