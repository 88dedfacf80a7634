"""Labelled photos and one or two models in, what a table and the registry say of them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.embedding.choice import open_runtime
from sightline.engine.embedding.embedder import Features, Runtime
from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.embedding.model_registry import ModelReference
from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import EmbedderSettings, Settings
from sightline.infra.commands.models import naming, network_of
from sightline.training.evaluation.relevance import EqualLabels
from sightline.training.evaluation.retrieval import QueryScores, score_queries
from sightline.training.evaluation.versus import Row, Versus
from sightline.training.models.candidates import Candidate, of_file, of_settings
from sightline.training.models.default_projection import (
    Photo,
    PhotoFeatures,
    photo_features,
    read_manifest,
)

SERVING = "serving"
"""What stands for the model of the settings."""
OpenRuntime = Callable[[ModelSource, EmbedderSettings], Runtime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured, and by what truth."""

    model: str
    against: str | None
    truth: str
    """Where the relevance comes from, and how much there is of it."""
    rows: tuple[Row, ...]
    """The measures over all queries, then mean average precision by slice."""
    metrics: Mapping[str, float]
    """Every measure of the model, for `metrics.json`."""


def candidate(settings: Settings, text: str, *, strength: float) -> Candidate:
    """The model that a person names: `serving`, a file or folder, or one of the registry.

    Raises:
        SettingsInvalid: there is no such model; a path that is none is taken for a name.
    """
    if text == SERVING:
        chosen = embedder_settings(settings)
        return of_settings(f"{SERVING} ({settings.embedder.model})", chosen)
    if Path(text).exists():
        return of_file(Path(text), network_of(settings), strength=strength)
    reference = ModelReference.parse(text)
    return of_settings(str(reference), embedder_settings(naming(settings, reference)))


def evaluate(
    settings: Settings,
    folder: Path,
    model: Candidate,
    against: Candidate | None,
    *,
    open_network: OpenRuntime = open_runtime,
) -> Evaluation:
    """Search every query photo among the gallery photos; equal labels are relevant.

    Bounds are by label: photos of one label rise and fall together.

    Args:
        settings: what runs the network.
        folder: with `manifest.csv`, its columns image, label and split (`query`, `gallery`).
        model: what is evaluated.
        against: what it is compared with; none: it stands alone.
        open_network: runs the network of a source.

    Raises:
        SettingsInvalid: the folder has no such manifest, or no photos of both splits.
        BadImage: a photo cannot be read.
    """
    photos = _photos(folder)
    networks: dict[tuple[str, ...], PhotoFeatures] = {}

    def scores(of: Candidate) -> QueryScores:
        if of.network not in networks:
            runtime = open_network(of.source, settings.embedder)
            networks[of.network] = photo_features(photos, runtime, of.source.input_size)
        found = networks[of.network]
        return _scored(found, of.vectors(found.features))

    labels = np.asarray([photo.label for photo in photos if photo.split == "query"])
    before = None if against is None else scores(against)
    versus = Versus(after=scores(model), before=before, clusters=labels)
    return Evaluation(
        model=model.name,
        against=None if against is None else against.name,
        truth=_told(folder, photos),
        rows=(*versus.measures(), *versus.slices(_domains(labels))),
        metrics=versus.after.means(),
    )


def _photos(folder: Path) -> list[Photo]:
    try:
        photos = [each for each in read_manifest(folder) if each.split in {"query", "gallery"}]
    except (OSError, KeyError) as error:
        raise SettingsInvalid(
            f"{folder} has no manifest.csv with the columns image, label and split: {error}"
        ) from error
    if len({photo.split for photo in photos}) < 2:  # noqa: PLR2004 - both
        raise SettingsInvalid(f"{folder}: evaluation needs photos of the splits query and gallery")
    return photos


def _scored(photos: PhotoFeatures, vectors: Features) -> QueryScores:
    query = photos.splits == "query"
    truth = EqualLabels.of(photos.labels[query].tolist(), photos.labels[~query].tolist())
    return score_queries(vectors[query], vectors[~query], truth)


def _domains(labels: NDArray[np.str_]) -> dict[str, NDArray[np.bool_]]:
    """The queries of each domain, the part of a label before its slash."""
    domains = np.asarray([label.partition("/")[0] for label in labels.tolist()])
    names = np.unique(domains)
    return {str(name): domains == name for name in names} if len(names) > 1 else {}


def _told(folder: Path, photos: list[Photo]) -> str:
    queries = [photo.label for photo in photos if photo.split == "query"]
    rest = len(photos) - len(queries)
    return (
        f"equal labels in {folder}: {len(queries)} queries of {len(set(queries))} labels "
        f"among {rest} photos"
    )
