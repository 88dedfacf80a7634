"""A generation of the index in, another one filled out: kept features multiplied, the rest as is.

Nothing is decoded and no picture is read. Each image is written under the fence that it has, so
whatever the new generation's own worker writes meanwhile wins where it is higher. What is there
already is passed over: after a kill the same call goes on where the last one was
(docs/adr/0028-filling-a-generation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from sightline.engine.pacing import Pace
from sightline.engine.ports import Clock, VectorIndex
from sightline.engine.records import IndexedImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
BATCH = 64
"""Images to one read and one product: an eighth more CPU than with any number, in one thread."""
_WRITTEN = 16
"""Images to one write, each of which the rate spreads: an embedded index holds the
interpreter's lock for so many, and a search waits for them."""


class Projected(NamedTuple):
    """What a new generation keeps of a picture, made without the picture."""

    vector: NDArray[np.float32]
    """(dimensions,), L2 norm 1."""
    features: NDArray[np.uint8] | None
    """Packed as the new generation packs them; None: it keeps none."""


class Reproject(Protocol):
    """Makes vectors of the new model from the features that the old generation keeps."""

    def __call__(self, images: Sequence[IndexedImage]) -> Sequence[Projected | None]:
        """One an image; None: no features are kept of it that the new model can use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """How far the seeding of a generation is; every count is of this run alone."""

    looked_at: int = 0
    """Images of the old generation."""
    written: int = 0
    there: int = 0
    """Images that the new generation had at that version, or a higher one."""
    without_features: int = 0
    """Published again, so that the new generation's worker looks at their bytes."""
    decisions: int = 0
    """What the operator decided, copied before any image."""


@dataclass(frozen=True, slots=True, eq=False)
class Seeding:
    """Fills a new generation from an old one, while both take what their workers write.

    Decisions come first and again with each image, so that no image that the operator hides is
    shown in between. Tombstones are copied, too: deletes are final in every generation.

    Look-alikes keep their cluster. It is named by its founder's perceptual hash and joined by
    distance to that alone; vectors only find candidates. So it is as true of the new model, and a
    page collapses the same copies before and after a switch.

    Args:
        old: what is read.
        images: one scan of it, batch by batch, each image with the features that are kept of it.
        new: what is written.
        reproject: from features to the new model's vectors.
        publish: appends an image's event again, for the new generation's worker.
        pace: images a second that are looked at.
        clock: tells when they were.
        batch: images to one read.
    """

    old: VectorIndex
    new: VectorIndex
    _: KW_ONLY
    images: Callable[[], Iterable[IndexedImage]]
    reproject: Reproject
    publish: Callable[[IndexedImage], None]
    pace: Pace
    clock: Clock
    batch: int = BATCH

    def steps(self) -> Iterator[Seeded]:
        """Seed batch by batch, and say after each how far it is; flush before believing the last.

        Raises:
            PartUnavailable: an index or the log did not answer; a repeat goes on.
        """
        done = Seeded()
        for decided in in_batches(self.old.scan_decisions(batch=self.batch), self.batch):
            self.new.moderate(decided)
            done = replace(done, decisions=done.decisions + len(decided))
            yield done
        for images in in_batches(self.images(), self.batch):
            done = self._seed(images, done)
            yield done

    def _seed(self, images: Sequence[IndexedImage], done: Seeded) -> Seeded:
        wanted = self._below(images)
        self.pace.wait(len(images) - len(wanted))
        made = self._made(wanted)
        bare = sum(self._write(some, made) for some in in_batches(wanted, _WRITTEN))
        return replace(
            done,
            looked_at=done.looked_at + len(images),
            written=done.written + len(wanted) - bare,
            there=done.there + len(images) - len(wanted),
            without_features=done.without_features + bare,
        )

    def _write(self, images: Sequence[IndexedImage], made: Mapping[str, Projected | None]) -> int:
        """Write what can be made of the images; how many were published again instead."""
        self.pace.wait(len(images))
        decided = [image.decision for image in images if image.decision is not None]
        if decided:
            self.new.moderate(decided)
        seeds, bare = self._seeds(images, made)
        if seeds:
            self.new.apply(seeds)
        for image in bare:
            self.publish(image)
        return len(bare)

    def _below(self, images: Sequence[IndexedImage]) -> list[IndexedImage]:
        """Those that the new generation lacks, or has at a lower version."""
        known = self.new.get([image.image_id for image in images])
        return [
            image
            for image in images
            if (held := known.get(image.image_id)) is None or held.fence < image.fence
        ]

    def _made(self, images: Sequence[IndexedImage]) -> dict[str, Projected | None]:
        """What the new generation keeps of each picture, by image."""
        pictured = [image for image in images if has_picture(image)]
        projected = self.reproject(pictured) if pictured else ()
        return dict(zip((image.image_id for image in pictured), projected, strict=True))

    def _seeds(
        self, images: Sequence[IndexedImage], made: Mapping[str, Projected | None]
    ) -> tuple[list[IndexedImage], list[IndexedImage]]:
        """The images as the new generation keeps them, and those that it cannot be given."""
        now = self.clock.now()
        seeds, bare = [], []
        for image in images:
            if not has_picture(image):
                seeds.append(_seed(image, now, None))
            elif (found := made[image.image_id]) is not None:
                seeds.append(_seed(image, now, found))
            else:
                bare.append(image)
        return seeds, bare


def _seed(image: IndexedImage, now: datetime, made: Projected | None) -> IndexedImage:
    """The image as the new generation keeps it.

    `applied` is when this generation got it: a tombstone's retention counts from there, too.
    """
    vector, features = (None, None) if made is None else made
    return replace(image, applied=now, decision=None, vector=vector, features=features)


def has_picture(image: IndexedImage) -> bool:
    """Whether somebody looked at the image's bytes and kept a vector of them."""
    return image.content_sha256 is not None


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut what comes into lists of this size; the last may be shorter."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
