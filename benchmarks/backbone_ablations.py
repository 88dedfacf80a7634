"""What the two parts are worth that need pixels: augmented views, and the network's own weights.

    python -m benchmarks.backbone_ablations [--photos FOLDER] [--write docs/training.md]

As `head_ablations.py`: clicks on two labels of three, then query photos of all labels among all
gallery photos. Each training begins at the head that the same clicks taught. Small squares and few
steps, some eight minutes of one core; what serves sees larger ones.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.head_ablations import SOME, clicked
from benchmarks.label_replay import print_lines
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_in, photo_site
from benchmarks.training import CAREFUL, GREEDY, NORMAL, RULES, Outcome
from sightline.engine.embedding.model_files import model_source
from sightline.engine.embedding.networks import Normalised, build_network
from sightline.engine.embedding.projections import Features, Projection
from sightline.engine.pictures.prepare import prepare
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings, EmbedderSettings
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.backbone.training import train_backbone
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.stored_crops import view_framing
from sightline.training.models.default_projection import held_out_third

SIZE, STEPS, BATCH, RATE = 112, 40, 24, 5e-4
"""Half the side, a fifth of the command's steps at five times its rate: about as far."""
PLAIN = {"smallest": 1.0, "jitter": 0.0}
"""Whole squares, mirrored or not: what is left of a view without augmentation."""
ROWS: Mapping[str, dict[str, Any]] = {
    "the projection alone, whole squares": {"blocks": 0, **PLAIN},
    "the projection alone, augmented views": {"blocks": 0},
    "the last block, too, augmented views": {"blocks": 1},
}
_TOGETHER = 32
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class PhotoCrops:
    """Decoded photos, by row, as a training on pixels takes them."""

    pixels: Pixels
    """(n, side, side, 3)."""
    hashes: tuple[str, ...]

    def of(self, rows: NDArray[np.int64]) -> Pixels:
        """Copies the squares of some rows."""
        return self.pixels[rows]


@dataclass(frozen=True)
class PixelSite:
    """A site of photos whose network sees small squares."""

    site: PhotoSite
    """Its features are those of the small squares."""
    network: Normalised
    squares: Pixels
    """(query and gallery photos, size, size, 3), in the photos' order."""
    crops: PhotoCrops
    """Of the photos on the site, by the rows of its pairs."""

    def taught(self, pairs: ClickPairs, settings: BackboneSettings) -> tuple[float, float]:
        """Train from the head that the pairs teach; mAP on clicked labels and on the others."""
        start = self.site.trained(pairs).ungated(NORMAL)
        size = self.squares.shape[1]
        trained = train_backbone(self.network, start, pairs, self.crops, settings, size=size)
        site = self.seen_by(trained.network) if settings.blocks else self.site
        return _means(site, trained.projection)

    def seen_by(self, weights: Mapping[str, torch.Tensor]) -> PhotoSite:
        """The site with the features of its query and gallery photos by other weights."""
        network = deepcopy(self.network)
        network.network.load_state_dict(weights)
        photos = self.site.photos
        features = photos.features.copy()
        features[photos.splits != "train"] = features_of(network, self.squares)
        return replace(self.site, photos=replace(photos, features=features))


def _means(site: PhotoSite, projection: Projection) -> tuple[float, float]:
    labels, scores = site.query_labels(), site.quality(projection)
    silent = np.isin(labels, site.silent)
    clicked_labels, others = (scores.at(part).means()["mAP"] for part in (~silent, silent))
    return clicked_labels, others


def features_of(network: Normalised, squares: Pixels) -> Features:
    """What the network makes of squares (n, size, size, 3): (n, features)."""
    views = torch.from_numpy(squares).permute(0, 3, 1, 2)
    with torch.no_grad():
        parts = [network(some.float()) for some in torch.split(views, _TOGETHER)]
    found: Features = torch.cat(parts).numpy()
    return found


def squares_of(folder: Path, images: NDArray[np.str_], framing: Framing) -> Pixels:
    """Photos by the names of their files without the ending, as squares."""
    rows = csv.DictReader((folder / "manifest.csv").read_text().splitlines())
    files = {Path(row["image"]).stem: folder / row["image"] for row in rows}
    limits = DecodeSettings()
    return np.stack(
        [prepare(files[each].read_bytes(), limits=limits, framing=framing).crop for each in images]
    )


def pixel_site(folder: Path, site: PhotoSite, size: int) -> PixelSite:
    """The same site where the network sees squares of another size.

    Args:
        folder: of the photos.
        site: at the network's own size.
        size: of the squares, pixels.
    """
    source = model_source(EmbedderSettings())
    framing = replace(source.framing, size=size, short_side=None)
    network = build_network(source.model, source.weights, source.normalisation)
    used = (site.photos.splits != "train") | ~np.isin(site.photos.labels, site.silent)
    photos = site.photos.where(used)
    squares = squares_of(folder, photos.images, framing)
    photos = replace(photos, features=features_of(network, squares))
    small = replace(site, photos=photos)
    shown = small.features()
    views = squares_of(folder, np.array(shown.images), view_framing(framing))
    return PixelSite(
        site=small,
        network=network,
        squares=squares[photos.splits != "train"],
        crops=PhotoCrops(views, shown.hashes),
    )


def measured(pixels: PixelSite, pairs: ClickPairs, settings: BackboneSettings) -> Iterator[str]:
    """The lines of the table: the head at its strengths, then each training on pixels from it."""
    yield "| | clicked labels | labels without a click | CPU |"
    yield "|---|---:|---:|---:|"
    head = Outcome.of(pixels.site, pixels.site.trained(pairs))
    yield _line("the shipped projection", head.means(), 0)
    for strength in (CAREFUL, NORMAL, GREEDY):
        yield _line(f"a head as it is, strength {strength:g}", head.means(strength), 0)
    for name, changes in ROWS.items():
        began = time.process_time()
        found = pixels.taught(pairs, replace(settings, **changes))
        yield _line(f"from {NORMAL:g} on, {name}", found, time.process_time() - began)


def _line(name: str, means: tuple[float, float], cpu_s: float) -> str:
    figures = (f"{each:.3f}".lstrip("0") for each in means)
    return f"| {name} | {' | '.join(figures)} | {f'{cpu_s:.0f} s' if cpu_s else ''} |"


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--clicks", type=int, default=SOME)
    parser.add_argument("--size", type=int, default=SIZE, help="side of the squares, pixels")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=BATCH, help="pairs in a step")
    parser.add_argument("--rate", type=float, default=RATE, help="the learning rate at the start")
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    site = photo_site(arguments.photos)
    site = site.without(held_out_third(site.photos.labels.tolist(), 0))
    pairs = pairs_in([clicked(site, DEFAULT.name, arguments.clicks)], RULES)
    pixels = pixel_site(arguments.photos, site, arguments.size)
    batch = {"batch": arguments.batch, "corpus": arguments.batch}
    settings = BackboneSettings(
        steps=arguments.steps, learning_rate=arguments.rate, chunk=arguments.batch, **batch
    )
    lines = measured(pixels, pairs.among(pixels.site.features().images), settings)
    print_lines(lines, "training on pixels", arguments.write)


if __name__ == "__main__":
    main()
