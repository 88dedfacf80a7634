"""A folder of labelled photos, or none, in; what a site shows and what judges its models out.

The site's pictures are searched and clicked. Others that are never on it judge: query pictures are
searched among gallery pictures, some of labels that nobody asks for.
"""

from __future__ import annotations

import csv
import shutil
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sightline.infra.sample_photos.photo_folder import PhotoFolder
from sightline.infra.sample_photos.synthetic_photos import KINDS, still_life
from sightline.training.evaluation.gate import GateLimits
from sightline.training.models.default_projection import Photo, read_labelled_photos

SITE, QUERY, GALLERY = "train", "query", "gallery"
"""The splits of a manifest: on the site, asked by a judge, and found."""
FEWEST_LABELS = 30
"""With fewer a third is too few to tell anything of what nobody asked for."""
SEED = 11
_HUES, _DEPTHS = 12, ((0.9, 0.85), (0.45, 0.9))
_DRAWN = {SITE: 4, QUERY: 1, GALLERY: 3}
"""So many pictures of each label are drawn, by split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What is learnt on, and by what truth it is judged."""

    site: PhotoFolder
    """Each picture in a folder named as its label."""
    judges: Path
    """Its `manifest.csv` has query and gallery pictures, none of which is on the site."""
    clicked: tuple[str, ...]
    """Labels that people ask for; the others are on the site, and nobody asks for them."""
    silent: tuple[str, ...]

    @property
    def judged_by_labels(self) -> bool:
        """Whether there are labels enough for the gate; else the clicks must do."""
        limits = GateLimits()
        enough = len(self.clicked) >= limits.min_slice_clusters
        return enough and len(self.silent) >= limits.min_clusters


def lesson_of(photos: Path | None, scratch: Path) -> Lesson:
    """The photos where they are labelled and many enough; else pictures that are drawn here.

    Args:
        photos: a folder with a manifest of image, label and split; None: draw.
        scratch: a folder that the site is made in.
    """
    found = [] if photos is None else _labelled(photos)
    if photos is not None and found:
        return _lesson(found, photos, scratch, silent=len({p.label for p in found}) // 3)
    judges = scratch / "drawn"
    drawn = draw_labelled(judges, kinds=KINDS, hues=_HUES, each=_DRAWN)
    return _lesson(drawn, judges, scratch, silent=GateLimits().min_clusters)


def _labelled(photos: Path) -> list[Photo]:
    if not (photos / "manifest.csv").is_file():
        return []
    found = read_labelled_photos(photos)
    return found if len({photo.label for photo in found}) >= FEWEST_LABELS else []


def _lesson(photos: list[Photo], judges: Path, scratch: Path, *, silent: int) -> Lesson:
    labels = sorted({photo.label for photo in photos})
    quiet = set(Random(SEED).sample(labels, silent))  # noqa: S311 - a demo's draw
    site = scratch / "site"
    for photo in photos:
        if photo.split == SITE:
            place = site / photo.label
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo.path, place)
    return Lesson(
        site=PhotoFolder(site),
        judges=judges,
        clicked=tuple(label for label in labels if label not in quiet),
        silent=tuple(sorted(quiet)),
    )


def draw_labelled(
    folder: Path, *, kinds: tuple[str, ...], hues: int, each: dict[str, int]
) -> list[Photo]:
    """Draw pictures of every kind in every colour, and write their manifest beside them.

    Args:
        folder: made here.
        kinds: of things.
        hues: so many colours, each deep and pale.
        each: how many pictures of one kind and colour by split.
    """
    folder.mkdir(parents=True)
    random_of, photos = Random(SEED), []  # noqa: S311 - drawing, not secrets
    for kind in kinds:
        for hue in range(hues):
            for depth, (saturation, value) in enumerate(_DEPTHS):
                red, green, blue = hsv_to_rgb(hue / hues, saturation, value)
                colour = round(255 * red), round(255 * green), round(255 * blue)
                label = f"{kind} in {hue:02}{'dp'[depth]}"
                for split, count in each.items():
                    for number in range(count):
                        file = folder / f"{split}-{label.replace(' ', '-')}-{number}.jpg"
                        file.write_bytes(still_life(kind, colour, random_of))
                        photos.append(Photo(file, label, split))
    with (folder / "manifest.csv").open("w", newline="") as written:
        rows = csv.writer(written)
        rows.writerow(("image", "label", "split"))
        rows.writerows((photo.path.name, photo.label, photo.split) for photo in photos)
    return photos
