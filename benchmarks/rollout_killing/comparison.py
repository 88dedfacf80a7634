"""Two tellings of the story held against each other, and each answer against the vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.rollout_killing.people import Shown
from benchmarks.rollout_killing.telling import ImageEnd, Lived
from sightline.engine.serving.state import ServingState

SAME_VECTOR = 1e-5
SAME_COSINE = 0.999
"""Where a generation is filled by features: what came before the seeding has a vector of features
in 8 bits, what came after it one of the picture, and a kill may change which."""
SAME_SCORE = 2e-3
"""Scores of an answer are fp32 of vectors that were stored as such."""


class Distance(NamedTuple):
    """How far a score of an answer is from what the vectors of a generation give."""

    cosine: float
    generation: str
    asked: str
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How a disturbed telling ended beside an undisturbed one."""

    differences: tuple[str, ...]
    """Empty: both ended the same, and nothing wrong was shown on the way."""
    scores: int
    """So many scores of answers were compared with the vectors of their generation."""
    told_apart: int
    """How many of them no other generation's vectors would give."""
    worst: Distance


def compared(calm: Lived, disturbed: Lived) -> Compared:
    """Hold one telling against the other, and each answer against the vectors."""
    seeded = {one.name for one in calm.state.generations if one.by == "features"}
    wrong = [*_states(calm.state, disturbed.state), *_ends(calm.ends, disturbed.ends, seeded)]
    scores = told_apart = 0
    worst = Distance(0.0, "", "", "")
    for lived in (calm, disturbed):
        wrong += [f"shown though hidden: {image_id}" for image_id in lived.people.hidden_shown]
        wrong += [f"failed: {failure}" for failure in lived.people.failures]
        for answer in lived.people.answers:
            for distance in _distances(lived.ends, answer):
                if distance.generation == answer.generation:
                    scores, worst = scores + 1, max(worst, distance)
                elif distance.cosine > SAME_SCORE:
                    told_apart += 1
    if worst.cosine > SAME_SCORE:
        wrong.append(f"a score is {worst.cosine:.4f} from that of its generation's vectors")
    return Compared(differences=tuple(wrong), scores=scores, told_apart=told_apart, worst=worst)


def _states(calm: ServingState, other: ServingState) -> Iterator[str]:
    for what in ("serves", "before", "experiment"):
        expected, found = getattr(calm, what), getattr(other, what)
        if expected != found:
            yield f"{what}: {found} instead of {expected}"
    stages = [{one.name: one.stage for one in state.generations} for state in (calm, other)]
    if stages[0] != stages[1]:
        yield f"generations: {stages[1]} instead of {stages[0]}"


def _ends(
    calm: Mapping[str, Mapping[str, ImageEnd]],
    other: Mapping[str, Mapping[str, ImageEnd]],
    seeded: Collection[str],
) -> Iterator[str]:
    for name in sorted(calm.keys() | other.keys()):
        expected, found = calm.get(name, {}), other.get(name, {})
        for image_id in sorted(expected.keys() | found.keys()):
            one, two = expected.get(image_id), found.get(image_id)
            if one is None or two is None or one[:3] != two[:3]:
                yield f"{name}: {image_id} is {two and two[:3]} instead of {one and one[:3]}"
            elif not _alike(one.vector, two.vector, is_seeded=name in seeded):
                yield f"{name}: {image_id} has another vector"


def _alike(
    one: NDArray[np.float32] | None, two: NDArray[np.float32] | None, *, is_seeded: bool
) -> bool:
    if one is None or two is None:
        return one is two
    if is_seeded:
        return float(one @ two) >= SAME_COSINE
    return bool(np.abs(one - two).max() <= SAME_VECTOR)


def _distances(ends: Mapping[str, Mapping[str, ImageEnd]], answer: Shown) -> Iterator[Distance]:
    """Of each score, to what the vectors of each generation give."""
    for name, images in ends.items():
        asked = images[answer.asked].vector
        for image_id, score in answer.scores.items():
            found = images.get(image_id)
            if asked is not None and found is not None and found.vector is not None:
                cosine = abs(float(asked @ found.vector) - score)
                yield Distance(cosine, name, answer.asked, image_id)
