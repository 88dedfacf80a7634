"""Labelled photos as a site with a served model: clicks on its pages, and what they teach.

Train photos are what the site has; query photos are searched among the gallery's, which nobody
clicked. Labels may be kept out of the site altogether, to see what clicks on others do to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from benchmarks.harness import Size
from benchmarks.photo_clicks import Clicks, Habits, catalogue_of, clicks_on, mined, triple_table
from benchmarks.photo_features import LabelledPhotos, labelled_photos
from benchmarks.stack import SHARED_PHOTOS
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.embedding.projections import (
    AnyProjection,
    Features,
    Projection,
    load_linear,
    project_all,
)
from sightline.engine.settings import load_settings
from sightline.producers.click_simulator.ranked_catalogue import RankedCatalogue
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pairs import ClickPairs, pairs_of
from sightline.training.evaluation.relevance import EqualLabels
from sightline.training.evaluation.retrieval import QueryScores, score_queries
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.training import train_head

PHOTOS = SHARED_PHOTOS.parent
FEW_PHOTOS = Path(__file__).resolve().parent.parent / "tests" / "data" / "photos"
"""150 of ten labels: enough to see that a benchmark runs."""


@dataclass(frozen=True, slots=True)
class PhotoSite:
    """A site that shows the train photos, ranked by one model."""

    photos: LabelledPhotos
    """All splits; the features are those of the frozen network."""
    start: Projection
    """The shipped model, from which every training begins."""
    serving: AnyProjection
    """What ranks the pages."""
    name: str
    """Of the model that ranks."""
    silent: tuple[str, ...] = ()
    """Labels whose photos are not on the site, so that nobody clicks them."""
    head: HeadSettings = field(default_factory=HeadSettings)
    """Of its trainings, unless they say otherwise."""
    families: bool = False
    """Whether to its people a photo of the same coarse label is half an answer."""

    def ranked_by(self, serving: AnyProjection, name: str) -> PhotoSite:
        """The same site when it serves another model."""
        return replace(self, serving=serving, name=name)

    def without(self, labels: Sequence[str]) -> PhotoSite:
        """The same site without the photos of some labels."""
        return replace(self, silent=tuple(labels))

    def shown(self) -> LabelledPhotos:
        """The photos of the site."""
        photos = self.photos
        return photos.where((photos.splits == "train") & ~np.isin(photos.labels, self.silent))

    def clicks(self, habits: Habits, records: int, rules: LabelRules, *, seed: int) -> Clicks:
        """What people do on its pages."""
        return clicks_on(self.catalogue(), habits, records, rules, seed=seed)

    def catalogue(self) -> RankedCatalogue:
        """Its photos and pages, as the simulator asks for them."""
        shown = self.shown()
        vectors = project_all(self.serving, shown.features)
        return catalogue_of(shown, vectors, self.name, families=self.families)

    def features(self) -> PictureFeatures:
        """Its photos as a training takes them."""
        shown = self.shown()
        order = np.argsort(shown.images)
        return PictureFeatures(
            images=tuple(shown.images[order].tolist()),
            features=shown.features[order],
            hashes=tuple(shown.hashes[order].tolist()),
        )

    def trained(self, pairs: ClickPairs, settings: HeadSettings | None = None) -> Head:
        """The head that pairs teach, from the shipped model on."""
        return train_head(pairs, self.features(), self.start, settings or self.head).head

    def quality(self, model: AnyProjection) -> QueryScores:
        """Every query photo searched among all gallery photos; equal label means relevant."""
        return self.found_by(partial(project_all, model))

    def found_by(self, vectors: Callable[[Features], Features]) -> QueryScores:
        """The same by any vectors of the photos' features."""
        queries, gallery = (
            self.photos.where(self.photos.splits == s) for s in ("query", "gallery")
        )
        truth = EqualLabels.of(queries.labels.tolist(), gallery.labels.tolist())
        return score_queries(vectors(queries.features), vectors(gallery.features), truth)

    def query_labels(self) -> NDArray[np.str_]:
        """What the queries of `quality` show."""
        labels: NDArray[np.str_] = self.photos.labels[self.photos.splits == "query"]
        return labels


def photos_for(size: Size) -> Path | None:
    """The folder of photos to measure on; None: it is not on this machine."""
    if size is Size.TINY:
        return FEW_PHOTOS
    return PHOTOS if PHOTOS.is_dir() else None


def photo_site(folder: Path, size: Size = Size.FULL) -> PhotoSite:
    """All labels of a folder of photos, ranked by the shipped model.

    The network sees them in the precision of the settings: `SIGHTLINE_EMBEDDER__PRECISION=fp32`.
    """
    start = load_linear(PACKAGED_PROJECTION)
    photos = labelled_photos(folder, load_settings().embedder)
    head = HeadSettings(steps=5) if size is Size.TINY else HeadSettings()
    return PhotoSite(photos, start, start, "shipped", head=head)


def triples_in(logs: Iterable[Clicks], rules: LabelRules) -> pa.Table:
    """What the miner makes of the clicks of some logs."""
    return pa.concat_tables(triple_table(mined(log, rules), rules) for log in logs)


def pairs_in(logs: Iterable[Clicks], rules: LabelRules) -> ClickPairs:
    """The same, as one data set."""
    return pairs_of(triples_in(logs, rules))


def pairs_by_label(site: PhotoSite, *, each: int = 20, seed: int = 0) -> ClickPairs:
    """What would be learnt if labels taught: every photo of the site with some of its own label."""
    images, labels = labelled(site)
    random = np.random.default_rng(seed)
    anchor = np.repeat(np.arange(len(images)), each)
    positive = np.concatenate(
        [random.choice(np.flatnonzero(labels == label), each) for label in labels]
    )
    return _preferred(images, anchor, positive)


def pairs_on_pages(site: PhotoSite, *, places: int = 24) -> ClickPairs:
    """What would be learnt if people clicked all that is right on the first page of every photo."""
    images, labels = labelled(site)
    vectors = project_all(site.serving, site.features().features)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    page = np.argsort(-likeness, axis=1, kind="stable")[:, :places]
    anchor, place = np.nonzero(labels[page] == labels[:, None])
    return _preferred(images, anchor, page[anchor, place])


def labelled(site: PhotoSite) -> tuple[tuple[str, ...], NDArray[np.str_]]:
    """The site's photos and their labels, in the order of a training's pictures."""
    shown, images = site.shown(), site.features().images
    label_of = dict(zip(shown.images.tolist(), shown.labels.tolist(), strict=True))
    return images, np.array([label_of[image] for image in images])


def _preferred(
    images: tuple[str, ...], anchor: NDArray[np.integer], positive: NDArray[np.integer]
) -> ClickPairs:
    """Pairs of different photos that labels alone speak for."""
    kept = anchor != positive
    count = int(kept.sum())
    return ClickPairs(
        images=images,
        anchor=anchor[kept].astype(np.int32),
        positive=positive[kept].astype(np.int32),
        negative_starts=np.zeros(count + 1, np.int64),
        negatives=np.empty(0, np.int32),
        weight=np.ones(count, np.float32),
        grade=np.full(count, 5, np.int8),
        issued_at_ms=np.zeros(count, np.int64),
        search=("",) * count,
    )
