"""A finished training in, its folder out: what was made, from what, and how it went.

::

    head.safetensors   mean, base and change (`Head`)
    run.json           what it follows from: topic, offsets, settings, code; and what was counted
    pictures.csv       each picture's kind, and whether that kind, or the picture, was kept out
    curve.csv          loss and share of masked candidates, step by step
    curve.svg          the same loss, drawn

Equal runs give equal bytes in every file; none holds a time or a name of this machine. `run.json`
is written last: a folder without it is a run that did not end.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.engine.csv_columns import read_columns
from sightline.engine.errors import SettingsInvalid
from sightline.engine.private_files import make_private_folders
from sightline.engine.regular_files import read_text
from sightline.schemas import strict_json
from sightline.training.loop.curve_picture import curve_picture
from sightline.training.loop.head import write_whole

if TYPE_CHECKING:
    from sightline.training.datasets.splits import HeldOut
    from sightline.training.loop.learning import Learnt
    from sightline.training.loop.training import Curve

HEAD, RECORD, CHECKPOINT = "head.safetensors", "run.json", "checkpoint.safetensors"
PICTURES = "pictures.csv"
_KIND = ("image", "cluster", "held_out", "aside")
_MAX_RECORD_BYTES = 16 * 1_048_576


def begin_run(folder: Path) -> Path:
    """Make the folder, for this user alone, and name the file of its checkpoint.

    Raises:
        SettingsInvalid: it holds a run that ended.
    """
    if (folder / RECORD).exists():
        raise SettingsInvalid(f"{folder} holds a training that ended: name another folder")
    make_private_folders(folder)
    return folder / CHECKPOINT


def end_run(folder: Path, learnt: Learnt, record: Mapping[str, Any]) -> None:
    """Write every file, the record last, and remove the checkpoint."""
    curve, held = learnt.trained.curve, learnt.held_out
    learnt.trained.head.save(folder / HEAD)
    write_kinds(folder, learnt.pairs.images, held)
    write_curve(folder, curve)
    told = {**record, "counted": {**record.get("counted", {}), **_counts(learnt)}}
    write_whole(folder / RECORD, json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")
    (folder / CHECKPOINT).unlink(missing_ok=True)


def write_kinds(folder: Path, images: Sequence[str], held_out: HeldOut | None) -> None:
    """Write `pictures.csv`; without anything held out, all pictures are of one kind."""
    none = np.zeros(len(images), np.int64)
    kept = (none, none, none)
    if held_out is not None:
        kept = (held_out.clusters, held_out.held.astype(int), held_out.aside.astype(int))
    rows = zip(images, *kept, strict=True)
    write_csv(folder / PICTURES, _KIND, rows)


def write_curve(folder: Path, curve: Curve) -> None:
    """Write `curve.csv` and its picture, `curve.svg`, into the folder."""
    steps = zip(range(1, len(curve.losses) + 1), curve.losses, curve.masked, strict=True)
    write_csv(folder / "curve.csv", ("step", "loss", "masked"), steps)
    write_whole(folder / "curve.svg", curve_picture(curve))


def read_record(folder: Path) -> dict[str, Any]:
    """What `end_run` wrote of a run.

    Raises:
        SettingsInvalid: there is none that can be read.
    """
    try:
        record = strict_json.loads(read_text(folder / RECORD, _MAX_RECORD_BYTES))
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"{folder} holds no training that ended: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("start", {}), dict):
        raise SettingsInvalid(f"{folder / RECORD} is no record of a training")
    return record


def recorded(record: Mapping[str, Any], *path: str) -> int | float:
    """A number in the record of a training.

    Raises:
        SettingsInvalid: it has none there: another program wrote it.
    """
    found: Any = record
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, int | float) or not math.isfinite(found):
        raise SettingsInvalid(f"the record of that training has no number {'.'.join(path)}")
    return found


@dataclass(frozen=True, slots=True)
class PictureKind:
    """The kind of things that a picture shows, by its number in one run."""

    cluster: int
    held_out: bool
    """Whether training saw nothing of that kind."""
    aside: bool
    """Whether it did, but not this picture."""


def read_kinds(folder: Path) -> dict[str, PictureKind]:
    """What `end_run` wrote of the pictures, by image id.

    Raises:
        SettingsInvalid: there is none that can be read.
    """
    try:
        rows = read_columns(folder / PICTURES, _KIND)
        return {
            image: PictureKind(int(cluster), held_out=held_out == "1", aside=aside == "1")
            for image, cluster, held_out, aside in rows
        }
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"{folder} holds no training that ended: {error}") from error


def _counts(learnt: Learnt) -> dict[str, int]:
    held, pairs = learnt.held_out, learnt.pairs
    return {
        "pairs": len(pairs),
        "pairs_trained": int(learnt.trained_on.sum()),
        "pairs_held_out": int(held.test.sum()),
        "pairs_aside": int(held.asked.sum()),
        "pairs_later": int((learnt.time.later & held.train).sum()),
        "anchors": len(np.unique(pairs.anchor)),
        "anchors_aside": len(np.unique(pairs.anchor[held.asked])),
        "anchors_trained": len(np.unique(pairs.anchor[learnt.trained_on])),
        "pictures": len(pairs.images),
        "clusters": len(np.unique(held.clusters)),
        "clusters_held_out": len(np.unique(held.clusters[held.held])),
        "steps": len(learnt.trained.curve.losses),
        "later_from_ms": learnt.time.cut_ms,
    }


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with its head, whole or not at all."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write_whole(path, out.getvalue().encode())
