"""A folder of labelled photos in; their features, hashes and labels out, computed once and kept.

The folder has a `manifest.csv` with the columns image, label, label_coarse and split.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.choice import open_runtime
from sightline.engine.embedding.embedder import Runtime
from sightline.engine.embedding.model_files import model_source
from sightline.engine.embedding.projections import Features
from sightline.engine.pictures.prepare import prepare
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings, EmbedderSettings

Words = NDArray[np.str_]
_BATCH = 8


@dataclass(frozen=True, slots=True)
class LabelledPhotos:
    """Photos row by row: names, what they show, and what the frozen network makes of them."""

    images: Words
    """Names of the files without their ending."""
    labels: Words
    families: Words
    """The manifest's coarse labels."""
    splits: Words
    """`train`, `gallery` or `query`."""
    hashes: Words
    """256-bit dHashes in hexadecimal digits."""
    features: Features
    """(photos, features)."""

    def where(self, chosen: NDArray[np.bool_]) -> LabelledPhotos:
        """The photos of a mask, in the same order."""
        return LabelledPhotos(*(getattr(self, each.name)[chosen] for each in fields(self)))


def labelled_photos(
    folder: Path, settings: EmbedderSettings, cache: Path | None = None
) -> LabelledPhotos:
    """Every photo of the manifest; the first time takes as long as embedding them.

    Args:
        folder: with `manifest.csv`.
        settings: name the network; its projection plays no part.
        cache: where the arrays are kept by model, precision and manifest; none: the folder for
            temporary files.

    Raises:
        SettingsInvalid: the model cannot run here.
    """
    source = model_source(settings)
    runtime = open_runtime(source, settings)
    rows = list(csv.DictReader((folder / "manifest.csv").read_text().splitlines()))
    digest = source.digest(precision=runtime.precision, runtime=runtime.name)
    name = f"sightline-photos-{digest[:16]}-{len(rows)}.npz"
    kept = (cache or Path(gettempdir())) / name
    if not kept.exists():
        _save(kept, _read(folder, rows, runtime, source.framing))
    with np.load(kept) as arrays:
        return LabelledPhotos(*(arrays[each.name] for each in fields(LabelledPhotos)))


def _save(file: Path, photos: LabelledPhotos) -> None:
    """Beside the file first, then renamed: a run that is broken off leaves no half of it."""
    partial = file.with_name(f"{os.getpid()}-{file.name}")
    np.savez(partial, **{each.name: getattr(photos, each.name) for each in fields(photos)})
    partial.replace(file)


def _read(
    folder: Path, rows: Sequence[dict[str, str]], runtime: Runtime, framing: Framing
) -> LabelledPhotos:
    def some(start: int) -> tuple[list[str], Features]:
        prepared = [
            prepare((folder / row["image"]).read_bytes(), limits=DecodeSettings(), framing=framing)
            for row in rows[start : start + _BATCH]
        ]
        features = runtime.features(np.stack([picture.crop for picture in prepared]))
        return [picture.perceptual_hash for picture in prepared], features

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        parts = list(threads.map(some, range(0, len(rows), _BATCH)))
    return LabelledPhotos(
        images=np.array([Path(row["image"]).stem for row in rows]),
        labels=np.array([row["label"] for row in rows]),
        families=np.array([_family(row) for row in rows]),
        splits=np.array([row["split"] for row in rows]),
        hashes=np.array([each for hashes, _ in parts for each in hashes]),
        features=np.concatenate([features for _, features in parts]),
    )


def _family(row: dict[str, str]) -> str:
    """The manifest's coarse label; without one, the domain before the label's slash."""
    return row.get("label_coarse") or row["label"].partition("/")[0]
