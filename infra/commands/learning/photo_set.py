"""Labelled photos and models in, scores of every query photo and vectors as served out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.choice import open_runtime
from sightline.engine.embedding.embedder import Runtime
from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import EmbedderSettings
from sightline.infra.commands.learning.query_set import (
    EXAMPLES,
    LEAST_KINDS,
    SERVED_PICTURES,
    SHOWN_PICTURES,
    Example,
    Ranking,
    small_picture,
)
from sightline.training.evaluation.click_truth import hot_and_cold
from sightline.training.evaluation.examples import moved_most, nearest
from sightline.training.evaluation.paired import Clusters
from sightline.training.evaluation.relevance import EqualLabels
from sightline.training.evaluation.retrieval import QueryScores, score_queries
from sightline.training.evaluation.served import ServedAsBuilt, compare_served
from sightline.training.evaluation.strength import Groups
from sightline.training.evaluation.tag_slices import TagSlices, tag_slices
from sightline.training.models.candidates import Candidate
from sightline.training.models.default_projection import (
    Photo,
    PhotoFeatures,
    photo_bytes,
    photo_crops,
    photo_features,
    read_labelled_photos,
)
from sightline.training.models.released_head import vectors_as_served


class PhotoSet:
    """Photos of a manifest; each network looks at them once.

    Args:
        folder: with `manifest.csv`, its columns image, label and split (`query`, `gallery`), and
            tags or none.
        embedder: what runs the networks.
        clicked: labels that training saw clicks of, with how many, 0 where nobody says; None:
            nobody knows.

    Raises:
        SettingsInvalid: the folder has no such manifest, or no photos of both splits.
    """

    def __init__(
        self,
        folder: Path,
        embedder: EmbedderSettings,
        *,
        clicked: Mapping[str, int] | None = None,
    ) -> None:
        self._folder = folder
        self._embedder = embedder
        self._seen: dict[tuple[str, ...], tuple[Runtime, PhotoFeatures]] = {}
        every = read_labelled_photos(folder)
        self._photos = [photo for photo in every if photo.split in {"query", "gallery"}]
        if len({photo.split for photo in self._photos}) < 2:  # noqa: PLR2004 - both
            raise SettingsInvalid(
                f"{folder}: evaluation needs photos of the splits query and gallery"
            )
        self._queries = [photo for photo in self._photos if photo.split == "query"]
        self.labels: NDArray[np.str_] = np.asarray([photo.label for photo in self._queries])
        """(q,) of the query photos: photos of one label rise and fall together."""
        self._clicked = None if clicked is None else np.isin(self.labels, [*clicked])
        self._clicks = np.asarray([(clicked or {}).get(label, 0) for label in self.labels])

    drawn_by = "label"
    """See `QuerySet`."""

    @property
    def clusters(self) -> Clusters:
        """The labels of the query photos; see `QuerySet.clusters`."""
        return self.labels

    @property
    def groups(self) -> Groups | None:
        """What the queries are about, for the gate; None: nobody knows what was clicked."""
        if self._clicked is None:
            return None
        return Groups(clusters=self.labels, clicked=self._clicked, slices=self._slices())

    def truth(self) -> str:
        """Where the relevance comes from, and how much there is of it."""
        queries, labels = len(self.labels), len(np.unique(self.labels))
        return (
            f"equal labels in {self._folder}: {queries} queries of {labels} labels "
            f"among {len(self._photos) - queries} photos"
        )

    def domains(self) -> dict[str, NDArray[np.bool_]]:
        """Labels that training saw clicks of and others, where there are both; the gate's slices.

        Those are the domains, the part of a label before its slash, none of one alone; and labels
        that were clicked more often than that of the median query, and the others.
        """
        slices, clicked = self._slices(), self._clicked
        if clicked is None or clicked.all() or not clicked.any():
            return slices
        return {"labels clicked": clicked, "labels not clicked": ~clicked, **slices}

    def tags(self) -> TagSlices:
        """See `QuerySet.tags`."""
        tags = [photo.tags for photo in self._queries]
        return tag_slices(tags, self.labels, least=LEAST_KINDS)

    def _slices(self) -> dict[str, NDArray[np.bool_]]:
        return {**self._by_domain(), **hot_and_cold(self._clicks)}

    def _by_domain(self) -> dict[str, NDArray[np.bool_]]:
        domains = np.asarray([label.rpartition("/")[0].partition("/")[0] for label in self.labels])
        names = np.unique(domains[domains != ""])
        return {str(name): domains == name for name in names} if len(names) > 1 else {}

    def scores(self, model: Candidate) -> QueryScores:
        """Every query photo searched among the gallery photos.

        Raises:
            BadImage: a photo cannot be read.
        """
        photos = self._looked_at(model)[1]
        vectors, query = model.vectors(photos.features), photos.splits == "query"
        truth = EqualLabels.of(photos.labels[query].tolist(), photos.labels[~query].tolist())
        return score_queries(vectors[query], vectors[~query], truth)

    def examples(self, against: Candidate, model: Candidate) -> list[Example]:
        """The query photos that moved most from one model to the other, up and down."""
        both = [(each, self.scores(each)) for each in (against, model)]
        chosen = moved_most(both[0][1], both[1][1], EXAMPLES)
        rankings = [self._rankings(each, chosen, found) for each, found in both]
        return [
            Example(_shown(self._queries[at]), self._queries[at].label, (before, after))
            for at, before, after in zip(chosen, *rankings, strict=True)
        ]

    def _rankings(
        self, model: Candidate, chosen: NDArray[np.intp], scores: QueryScores
    ) -> list[Ranking]:
        photos = self._looked_at(model)[1]
        vectors, query = model.vectors(photos.features), photos.splits == "query"
        gallery = [photo for photo in self._photos if photo.split == "gallery"]
        found = nearest(vectors[query][chosen], vectors[~query], SHOWN_PICTURES)

        def shown(row: int, label: str) -> tuple[bytes, bool]:
            return _shown(gallery[row]), gallery[row].label == label

        return [
            Ranking(
                model.name,
                float(scores.average_precision[at]),
                tuple(shown(row, self.labels[at]) for row in rows),
            )
            for at, rows in zip(chosen, found, strict=True)
        ]

    def as_served(self, model: Candidate) -> ServedAsBuilt:
        """The model written to its file, read again and run as the API runs it."""
        runtime, photos = self._looked_at(model)
        some = self._photos[:SERVED_PICTURES]
        served = vectors_as_served(model, runtime, photo_crops(some, model.source.framing))
        return compare_served(model.vectors(photos.features[: len(some)]), served)

    def _looked_at(self, model: Candidate) -> tuple[Runtime, PhotoFeatures]:
        if model.network not in self._seen:
            runtime = open_runtime(model.source, self._embedder)
            features = photo_features(self._photos, runtime, model.source.framing)
            self._seen[model.network] = (runtime, features)
        return self._seen[model.network]


def _shown(photo: Photo) -> bytes:
    return small_picture(photo_bytes(photo))
