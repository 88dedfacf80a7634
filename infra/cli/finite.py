"""Numbers of the command line that are numbers."""

from __future__ import annotations

import math

import typer


def finite(number: float | None) -> float | None:
    """The number of an option, if there is one; `nan`, which no bound refuses, and `inf` are none.

    Raises:
        typer.BadParameter: it is one of those.
    """
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no number")
    return number
