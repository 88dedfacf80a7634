"""Conditions on points, in no engine's words: each adapter translates them into its own.

What reads ask for is in `read_conditions.py`, under which conditions a write goes through in
`write_conditions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sightline.engine.vector_index.payload import point_id


@dataclass(frozen=True, slots=True)
class IsPoint:
    """Matches the points whose ids are among these."""

    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """Matches points whose keyword field holds one of the values."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasOtherKeyword:
    """Matches points whose keyword field holds a value that is none of these."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasNumber:
    """Matches points whose field holds a number within the bounds; a bound of None is open."""

    field: str
    at_least: int | None = None
    at_most: int | None = None
    below: int | None = None


@dataclass(frozen=True, slots=True)
class LacksField:
    """Matches points without the field, or with an empty or null one."""

    field: str


@dataclass(frozen=True, slots=True)
class Where:
    """Matches points that fulfil all of `must`, one of `should` if there are any, no `must_not`."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """Matches what `where` does; it is part of every write, so an adapter translates it once."""

    where: Where


Condition = Where | Fixed | IsPoint | HasKeyword | HasOtherKeyword | HasNumber | LacksField


def all_of(*conditions: Condition) -> Where:
    """Builds a condition for points that fulfil every one of these."""
    return Where(must=conditions)


def one_of(*conditions: Condition) -> Where:
    """Builds a condition for points that fulfil at least one of these."""
    return Where(should=conditions)


def none_of(*conditions: Condition) -> Where:
    """Builds a condition for points that fulfil not one of these."""
    return Where(must_not=conditions)


def has_keyword(field: str, *values: str) -> HasKeyword:
    """Builds a condition for points whose keyword field holds one of the values."""
    return HasKeyword(field, values)


def points_of(image_ids: Iterable[str]) -> IsPoint:
    """Builds a condition for the points that belong to these images."""
    return IsPoint(tuple(map(point_id, image_ids)))


def among(wanted: Where, points: Sequence[str] | None) -> Where:
    """Keeps the condition, for these points only; None: for all."""
    if points is None:
        return wanted
    return Where((IsPoint(tuple(points)), *wanted.must), wanted.should, wanted.must_not)
