"""Options of the command line that are numbers."""

from __future__ import annotations

import math
from typing import Any

import typer


def number(
    metavar: str, text: str, *, at_least: float | None = None, at_most: float | None = None
) -> Any:
    """An option that takes a number within bounds, but not `nan`, which no bound refuses, or `inf`.

    Args:
        metavar: stands for the number in the help.
        text: what the help says.
        at_least: the smallest that is taken.
        at_most: the largest.
    """
    return typer.Option(min=at_least, max=at_most, callback=_finite, metavar=metavar, help=text)


def _finite(given: float | None) -> float | None:
    if given is not None and not math.isfinite(given):
        raise typer.BadParameter(f"{given} is no number")
    return given
