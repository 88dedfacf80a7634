"""A position-bias curve for a person: a line for each place that is known, ranges for the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from sightline.engine.label_data.propensity import PositionBias, PropensityCurve

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def propensity_lines(curve: PropensityCurve) -> Iterator[str]:
    """What is known of each place; neighbours that lack the same share a line."""
    for lacking, run in groupby(curve.positions, _lacking):
        places = list(run)
        if lacking is None:
            yield from (_fitted(place) for place in places)
        else:
            yield f"{_range(places):>7}  weight 1: {_reason(lacking, places)}"
    if not curve.fitted:
        yield "too little is known: every weight is 1"


def _fitted(bias: PositionBias) -> str:
    return f"{bias.position:>7}  {bias.propensity:.3f} ({bias.low:.3f} to {bias.high:.3f})"


def _lacking(bias: PositionBias) -> str | None:
    """What is missing without how much there is, which is the reason's first number."""
    return None if bias.fitted else _NUMBER.sub("{}", bias.why or "", count=1)


def _range(places: Sequence[PositionBias]) -> str:
    first, last = places[0].position, places[-1].position
    return str(first) if first == last else f"{first}-{last}"


def _reason(lacking: str, places: Sequence[PositionBias]) -> str:
    found = (_NUMBER.search(place.why or "") for place in places)
    numbers = sorted({one.group() for one in found if one is not None}, key=float)
    there = numbers if len(numbers) < 2 else (numbers[0], numbers[-1])  # noqa: PLR2004 - a range
    return lacking.replace("{}", " to ".join(there), 1)
