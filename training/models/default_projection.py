"""The default model's projection: classifier weights and unlabelled photos in, safetensors out.

``python -m sightline.training.models.default_projection --photos FOLDER`` makes and measures the
file that ships.

The directions are the top right singular vectors of the network's own classifier (its mean row
removed): what its 1,000 classes need to tell pictures apart, whatever the catalogue. They are
scaled by a small negative power of their singular values, half way to what whitening would do,
and the centre is the mean feature of the train photos, which needs no labels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from safetensors.numpy import save_file

from sightline.engine.csv_columns import read_columns
from sightline.engine.embedding.choice import open_runtime
from sightline.engine.embedding.embedder import Runtime
from sightline.engine.embedding.lite0 import read_lite0
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION, model_source
from sightline.engine.errors import SettingsInvalid
from sightline.engine.pictures.prepare import prepare
from sightline.engine.records.framing import Framing
from sightline.engine.regular_files import read_bounded
from sightline.engine.settings import DecodeSettings, EmbedderSettings
from sightline.training.evaluation.relevance import EqualLabels
from sightline.training.evaluation.retrieval import QueryScores, score_queries

Features = NDArray[np.float32]

DIMENSIONS = 512
EXPONENT = -0.25
"""The power of the singular values. Flat from -0.2 to -0.4; 0 loses .002 of mAP, -1 loses .003."""
EXPONENTS = (0.0, -0.1, -0.2, -0.25, -0.3, -0.4, -0.5)
SEEDS = range(6)
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Photo:
    """One line of the manifest of photos: a file, its label and its split."""

    path: Path
    label: str
    split: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PhotoFeatures:
    """Photos with their pooled features, row by row."""

    labels: NDArray[np.str_]
    splits: NDArray[np.str_]
    features: Features

    def of_labels(self, labels: Sequence[str], *, without: bool = False) -> PhotoFeatures:
        """Those with one of the labels, or those with none of them."""
        chosen = np.isin(self.labels, list(labels)) != without
        return PhotoFeatures(self.labels[chosen], self.splits[chosen], self.features[chosen])

    def train_mean(self) -> Features:
        """Averages the features of the photos in the train split."""
        mean: Features = self.features[self.splits == "train"].mean(axis=0, dtype=np.float64)
        return mean.astype(np.float32)


@dataclass(frozen=True, slots=True)
class HeldOutQuality:
    """Quality on labels whose photos had no part in the projection."""

    seed: int
    labels: int
    queries: int
    exponent: float
    """Chosen on the other two thirds of the labels."""
    raw: float
    projected: float


def read_labelled_photos(folder: Path) -> list[Photo]:
    """The photos of a folder with a `manifest.csv` of image, label and split, and tags or none.

    Raises:
        SettingsInvalid: there is none that can be read; says why.
    """
    try:
        rows = read_columns(folder / "manifest.csv", ("image", "label", "split"), ("tags",))
    except (OSError, ValueError) as error:
        raise SettingsInvalid(
            f"{folder} has no manifest.csv with the columns image, label and split: {error}"
        ) from error
    return [
        Photo(folder / image, label, split, tuple(filter(None, map(str.strip, tags.split("|")))))
        for image, label, split, tags in rows
    ]


def photo_bytes(photo: Photo) -> bytes:
    """What is in a photo's file.

    Raises:
        SettingsInvalid: missing, unreadable, or larger than any picture that is decoded.
    """
    try:
        return read_bounded(photo.path, DecodeSettings().max_bytes)
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"{photo.path} cannot be read: {error}") from error


def photo_crops(photos: Sequence[Photo], framing: Framing) -> NDArray[np.uint8]:
    """What a network sees of at least one photo: uint8 (n, size, size, 3)."""
    limits = DecodeSettings()
    return np.stack(
        [prepare(photo_bytes(photo), limits=limits, framing=framing).crop for photo in photos]
    )


def photo_features(photos: Sequence[Photo], runtime: Runtime, framing: Framing) -> PhotoFeatures:
    """Decode and run the network over all photos, one thread per core."""

    def features(start: int) -> Features:
        return runtime.features(photo_crops(photos[start : start + _BATCH], framing))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        parts = list(threads.map(features, range(0, len(photos), _BATCH)))
    labels = np.array([photo.label for photo in photos])
    return PhotoFeatures(labels, np.array([p.split for p in photos]), np.concatenate(parts))


@dataclass(frozen=True, slots=True)
class Directions:
    """What a classifier tells classes apart by, strongest first."""

    values: NDArray[np.float64]
    """(DIMENSIONS,) singular values, over the greatest."""
    rows: NDArray[np.float64]
    """(DIMENSIONS, features) right singular vectors."""

    def matrix(self, exponent: float = EXPONENT) -> Features:
        """(features, DIMENSIONS): each direction times its singular value^exponent."""
        scaled: Features = (self.rows.T * self.values**exponent).astype(np.float32)
        return scaled


def directions(classifier: Features) -> Directions:
    """Finds the main directions of a (classes, features) classifier without its mean row.

    Signs are fixed (the largest entry of each is positive), so that every machine makes the same.
    """
    centred = classifier.astype(np.float64) - classifier.mean(axis=0, dtype=np.float64)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    rows *= np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]
    return Directions(values[:DIMENSIONS] / values[0], rows[:DIMENSIONS])


def query_to_gallery(photos: PhotoFeatures, mean: Features, matrix: Features) -> QueryScores:
    """Every query photo searched among the gallery photos."""
    vectors = (photos.features - mean) @ matrix
    query, gallery = photos.splits == "query", photos.splits == "gallery"
    truth = EqualLabels.of(photos.labels[query].tolist(), photos.labels[gallery].tolist())
    return score_queries(vectors[query], vectors[gallery], truth)


def raw_quality(photos: PhotoFeatures) -> QueryScores:
    """The same, on the features as the network gives them."""
    width = photos.features.shape[1]
    return query_to_gallery(photos, np.zeros(width, np.float32), np.eye(width, dtype=np.float32))


def held_out_third(labels: Sequence[str], seed: int) -> list[str]:
    """A third of the labels of each domain (the part before the slash), at least one."""
    choose = np.random.default_rng(seed)
    chosen: list[str] = []
    for domain in sorted({label.partition("/")[0] for label in labels}):
        own = sorted({label for label in labels if label.partition("/")[0] == domain})
        choose.shuffle(own)
        chosen += own[: max(1, round(len(own) / 3))]
    return chosen


def held_out_quality(photos: PhotoFeatures, found: Directions, seed: int) -> HeldOutQuality:
    """Make the projection without a third of the labels, exponent included; measure on those."""
    third = held_out_third(photos.labels.tolist(), seed)
    seen, unseen = photos.of_labels(third, without=True), photos.of_labels(third)
    mean = seen.train_mean()

    def quality(power: float) -> float:
        return query_to_gallery(seen, mean, found.matrix(power)).means()["mAP"]

    exponent = max(EXPONENTS, key=quality)
    projected = query_to_gallery(unseen, mean, found.matrix(exponent))
    return HeldOutQuality(
        seed=seed,
        labels=len(third),
        queries=int(projected.able.sum()),
        exponent=exponent,
        raw=raw_quality(unseen).means()["mAP"],
        projected=projected.means()["mAP"],
    )


def main(
    photos: Annotated[Path, typer.Option(help="Folder with manifest.csv.")],
    out: Annotated[Path, typer.Option(help="Where to write.")] = PACKAGED_PROJECTION,
    report: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
) -> None:
    """Make the default model's projection and measure it, also on labels that it never saw."""
    settings = EmbedderSettings()
    source = model_source(settings)
    if source.weights is None:
        raise SettingsInvalid("the default model has no weights here")
    runtime = open_runtime(source, settings)
    found = photo_features(read_labelled_photos(photos), runtime, source.framing)
    axes = directions(read_lite0(source.weights)["_fc.weight"].numpy())
    mean, stored = found.train_mean(), axes.matrix().astype(np.float16)
    save_file({"mean": mean, "matrix": np.ascontiguousarray(stored)}, out)
    figures = {
        "runtime": f"{runtime.name} {runtime.precision}",
        "raw": _figures(raw_quality(found)),
        "projected": _figures(query_to_gallery(found, mean, stored.astype(np.float32))),
        "held_out": [asdict(held_out_quality(found, axes, seed)) for seed in SEEDS],
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "bytes": out.stat().st_size,
    }
    text = json.dumps(figures, indent=1)
    typer.echo(text)
    if report is not None:
        report.write_text(text + "\n")


def _figures(scores: QueryScores) -> dict[str, float]:
    return {"queries": int(scores.able.sum()), **scores.means()}


if __name__ == "__main__":
    typer.run(main)
