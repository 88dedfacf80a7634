"""What is searched: labelled images, and the page that a search by one of them shows.

Here a made-up catalogue; one that is ranked by a model's own vectors is in `ranked_catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from sightline.schemas.searches import ShownImage

HASH_BITS = 256


class SimulatedPicture(NamedTuple):
    """One image of a catalogue: what it shows, and how it looks."""

    image_id: str
    label: str
    perceptual_hash: str
    like_of: str = ""
    """The image that it is a near-copy of, else itself; only a made-up ranking needs it."""
    family: str = ""
    """A broader label: an image of the same family is half an answer. Empty: none."""


class SearchedCatalogue(Protocol):
    """What a simulated site asks of the catalogue that its people search."""

    @property
    def pictures(self) -> Sequence[SimulatedPicture]:
        """Every image that is shown, and that people search by."""

    @property
    def model_digest(self) -> str:
        """Names what ranks, as an impression says it."""

    def ranking(self, anchor: SimulatedPicture, random: Random) -> tuple[ShownImage, ...]:
        """One page for an anchor, best first; any chance comes from `random`."""


@dataclass(frozen=True, kw_only=True)
class CatalogueShape:
    """How many labels, images and near-copies the made-up catalogue has."""

    labels: int = 60
    images_per_label: int = 15
    near_duplicates: float = 0.15
    """The part of the images that are near-copies of another one of their label."""
    near_bits: int = 20
    """At most so many bits between a near-copy and its original."""
    page: int = 24
    """Results on a page."""
    noise: float = 0.16
    """Standard deviation of a score; labels are 0.25 apart."""
    candidates: int = 120
    """Images that a ranking is drawn from."""


class SimulatedCatalogue:
    """Labelled images and a seeded ranking; the same seed gives the same catalogue."""

    model_digest = "simulated"

    def __init__(self, shape: CatalogueShape, seed: int) -> None:
        self.shape = shape
        self._random = Random(seed)  # noqa: S311 - a simulation
        self.pictures = [
            picture for label in range(shape.labels) for picture in self._of_label(label)
        ]
        self._by_label: dict[str, list[SimulatedPicture]] = {}
        for picture in self.pictures:
            self._by_label.setdefault(picture.label, []).append(picture)

    def ranking(self, anchor: SimulatedPicture, random: Random) -> tuple[ShownImage, ...]:
        """One page for an anchor: same label first, as far as the noise allows."""
        same = [p for p in self._by_label[anchor.label] if p.image_id != anchor.image_id]
        others = random.sample(self.pictures, self.shape.candidates)
        pool = {p.image_id: p for p in (*same, *others) if p.image_id != anchor.image_id}
        scored = sorted(
            (self._score(anchor, picture, random), picture.image_id) for picture in pool.values()
        )[::-1]
        return tuple(
            ShownImage(
                image_id=image_id,
                position=position,
                score=round(score, 4),
                perceptual_hash=pool[image_id].perceptual_hash,
            )
            for position, (score, image_id) in enumerate(scored[: self.shape.page], 1)
        )

    def _score(self, anchor: SimulatedPicture, picture: SimulatedPicture, random: Random) -> float:
        if picture.like_of == anchor.like_of:
            return 0.98
        base = 0.7 if picture.label == anchor.label else 0.45
        return min(0.97, random.gauss(base, self.shape.noise))

    def _of_label(self, label: int) -> list[SimulatedPicture]:
        found: list[SimulatedPicture] = []
        for number in range(self.shape.images_per_label):
            name = f"picture-{label}-{number}"
            if found and self._random.random() < self.shape.near_duplicates:
                original = self._random.choice(found)
                bits = self._random.sample(
                    range(HASH_BITS), self._random.randint(1, self.shape.near_bits)
                )
                near = int(original.perceptual_hash, 16) ^ sum(1 << bit for bit in bits)
                found.append(
                    SimulatedPicture(name, f"label-{label}", f"{near:064x}", original.like_of)
                )
            else:
                far = f"{self._random.getrandbits(HASH_BITS):064x}"
                found.append(SimulatedPicture(name, f"label-{label}", far, name))
        return found
