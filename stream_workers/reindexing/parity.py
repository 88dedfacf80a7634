"""Two generations of the index in, whether the new one may serve in place of the old one out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Self

from sightline.engine.object_store.json_record import StoredTime, StoredValue

NAMED = 100
"""So many of the differences are told one by one; all of them are counted."""
LEAST_RECALL = 0.99
LEAST_COSINE = 0.999
LEAST_OF_4_BITS = 0.97
"""Where features of so few bits made the vectors: .985 is the worst of 1,265 photos."""


class Reason(StrEnum):
    """How what the new generation holds of an image differs from what the old one holds."""

    MISSING = "missing"
    """The old one has it, the new one does not."""
    EXTRA = "extra"
    """The new one has it, the old one does not."""
    VERSION = "version"
    """They are at different versions, or one has not finished it."""
    STATE = "state"
    """Its owner's event says different things of it in each: tags, owner, attributes, bytes."""
    OUTCOME = "outcome"
    """Its bytes were accepted by one and refused by the other."""
    GONE = "gone"
    """It is indexed in the old one, and its bytes are gone, refused or others by now, so that no
    model can index it anew."""
    DECISION = "decision"
    """The operator's decision about it is another one, or in one of them only."""
    LISTING = "listing"
    """One lists it, the other does not."""
    SHOWN = "shown"
    """It is hidden, and a search of the new one returns it."""
    UNSHOWN = "unshown"
    """It is listed, and the new one's own filter does not find it."""
    VECTOR = "vector"
    """The new one has no vector where the old one has, or none of its own model's form."""


class ParityDifference(StoredValue):
    """One image that differs between the two generations, and how."""

    image_id: str
    reason: Reason
    says: str


class RecallLine(StoredValue):
    """How much of the exact page the graph finds, over some queries under one filter."""

    of: str
    """What is asked for: `all`, or how many tags, and the share that they let through."""
    queries: int
    recall: float | None
    """None: no tags let about so many images through, so there was nothing to ask for."""

    @property
    def passed(self) -> bool:
        """Whether it is good enough, or there was nothing to measure."""
        return self.recall is None or self.recall >= LEAST_RECALL


class Reproduced(StoredValue):
    """Vectors of the new generation compared with what the model makes of the stored pictures."""

    pictures: int = 0
    """How many were read and embedded."""
    worst_cosine: float | None = None
    """None: none could be read."""
    unread: int = 0
    """Pictures that are gone from the store, or are others by now."""
    least_cosine: float = LEAST_COSINE
    """What is needed."""

    @classmethod
    def of(cls, parts: Sequence[Reproduced], least_cosine: float = LEAST_COSINE) -> Self:
        """What was found in parts, as one."""
        worst = [one.worst_cosine for one in parts if one.worst_cosine is not None]
        return cls(
            pictures=sum(one.pictures for one in parts),
            worst_cosine=min(worst, default=None),
            unread=sum(one.unread for one in parts),
            least_cosine=least_cosine,
        )

    @property
    def passed(self) -> bool:
        """Whether every vector is the model's, up to what the kept features lose."""
        return self.worst_cosine is None or self.worst_cosine >= self.least_cosine


def least_cosine(bits: int | None) -> float:
    """How near a vector must be to the model's own.

    Args:
        bits: kept of each number of the features that it was made from; None: it was made from the
            picture.
    """
    return LEAST_OF_4_BITS if bits == 4 else LEAST_COSINE  # noqa: PLR2004 - a setting's value


class Compared(StoredValue):
    """What a comparison of every image of two generations came to."""

    images: int
    """In the old generation."""
    listed: int
    hidden: int
    """Images that no search may return, tombstones among them."""
    decisions: int
    looked_again: int
    """Images that differed at first, because they changed or were on their way."""
    moving: int
    """Images that changed in both again and again while they were looked at."""
    differing: Mapping[Reason, int]
    first: tuple[ParityDifference, ...]
    """By id; at most `NAMED`."""


class Parity(StoredValue):
    """The report by which a generation may serve, or may not."""

    old: str
    new: str
    began_at: StoredTime
    ended_at: StoredTime
    compared: Compared
    recall: tuple[RecallLine, ...]
    reproduced: Reproduced
    without_missing: bool = False
    """Whether it may serve without the images whose bytes are gone."""

    @property
    def left_out(self) -> int:
        """How many images the old one finds and the new one will not, as somebody agreed to."""
        return self.compared.differing.get(Reason.GONE, 0) if self.without_missing else 0

    @property
    def hindering(self) -> Mapping[Reason, int]:
        """The differences that stand in the way, counted."""
        every = self.compared.differing.items()
        return {r: n for r, n in every if r is not Reason.GONE or not self.without_missing}

    @property
    def passed(self) -> bool:
        """Whether nothing stands in the way of the new generation."""
        measured = all(line.passed for line in self.recall) and self.reproduced.passed
        return measured and not self.hindering

    def unmeasured(self) -> list[str]:
        """What passed because there was nothing to measure it by, one line each."""
        lines = [f"recall@24 of {line.of}" for line in self.recall if line.recall is None]
        if self.reproduced.worst_cosine is None:
            lines.append(f"no picture could be embedded again ({self.reproduced.unread} gone)")
        return lines

    def passed_by(self) -> str:
        """Why the new generation may serve, for those who look later."""
        says = f"proven equal to {self.old}: {self.compared.images} images compared"
        if self.left_out:
            says += f", but for {self.left_out} whose bytes are gone"
        if unmeasured := self.unmeasured():
            says += f"; not measured: {', '.join(unmeasured)}"
        return says

    def failures(self) -> list[str]:
        """What stands in the way, one line each."""
        hindering = self.hindering
        lines = [f"{hindering[reason]} images: {reason}" for reason in sorted(hindering)]
        lines += [
            f"recall@24 of {line.of} is {line.recall:.4f}, {LEAST_RECALL} needed"
            for line in self.recall
            if line.recall is not None and not line.passed
        ]
        worst, least = self.reproduced.worst_cosine, self.reproduced.least_cosine
        if worst is not None and not self.reproduced.passed:
            lines.append(f"a vector's cosine to the model's own is {worst:.5f}, {least} needed")
        return lines
