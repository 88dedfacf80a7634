"""A real catalogue, ranked by a model's own vectors: the pages that the search API would show.

Who ranks is a port, so that the simulator needs neither numpy nor an index; each anchor's page is
made once, since a served model answers the same search with the same page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import Protocol

from sightline.engine.pictures.near_duplicates import hash_bits, near_any
from sightline.producers.click_simulator.catalogue import SimulatedPicture
from sightline.schemas.searches import ShownImage

PAGE = 24
LOOK_ALIKE_BITS = 40
"""A page of the API shows only the first of the images within so many bits of each other."""
_SPARE = 8


class Nearest(Protocol):
    """Ranks the catalogue for one of its images."""

    def __call__(self, image_id: str, limit: int, /) -> Sequence[tuple[str, float]]:
        """The `limit` nearest other images with their scores, best first; fewer: all there are."""


class RankedCatalogue:
    """Pictures whose pages are the nearest ones, without look-alikes of the anchor or each other.

    Args:
        pictures: all that may be searched by or shown; what `nearest` finds beyond them is not.
        nearest: the served model's ranking.
        model_digest: names that model; in a later round, give the next one and its ranking.
        page: results on a page.
        look_alike_bits: of 256-bit hashes; -1 shows look-alikes too.
    """

    def __init__(
        self,
        pictures: Sequence[SimulatedPicture],
        nearest: Nearest,
        *,
        model_digest: str,
        page: int = PAGE,
        look_alike_bits: int = LOOK_ALIKE_BITS,
    ) -> None:
        self.pictures = pictures
        self.model_digest = model_digest
        self._nearest = nearest
        self._length = page
        self._bits = look_alike_bits
        self._known = {picture.image_id: picture for picture in pictures}
        self._pages: dict[str, tuple[ShownImage, ...]] = {}

    def ranking(self, anchor: SimulatedPicture, random: Random) -> tuple[ShownImage, ...]:
        """The same page each time; nothing is left to chance."""
        del random
        page = self._pages.get(anchor.image_id)
        if page is None:
            page = self._pages[anchor.image_id] = self._page(anchor)
        return page

    def _page(self, anchor: SimulatedPicture) -> tuple[ShownImage, ...]:
        """Asks for more and more, until look-alikes apart the page is full."""
        limit = self._length
        while True:
            limit += _SPARE
            found = self._nearest(anchor.image_id, limit)
            kept = list(islice(self._distinct(anchor, found), self._length))
            if len(kept) == self._length or len(found) < limit:
                return tuple(_shown(*each, place) for place, each in enumerate(kept, 1))
            limit *= 2

    def _distinct(
        self, anchor: SimulatedPicture, found: Sequence[tuple[str, float]]
    ) -> Iterator[tuple[SimulatedPicture, float]]:
        seen = [bits for bits in (hash_bits(anchor.perceptual_hash),) if bits]
        for image_id, score in found:
            picture = self._known.get(image_id)
            if picture is None or image_id == anchor.image_id:
                continue
            mine = hash_bits(picture.perceptual_hash)
            if mine and near_any(mine, seen, bits=self._bits):
                continue
            if mine:
                seen.append(mine)
            yield picture, score


def _shown(picture: SimulatedPicture, score: float, place: int) -> ShownImage:
    return ShownImage(
        image_id=picture.image_id,
        position=place,
        score=round(score, 4),
        perceptual_hash=picture.perceptual_hash,
    )
