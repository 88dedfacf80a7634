"""What every benchmark shares: percentiles, side-by-side ratios, a table and a JSON file.

Machines are shared and noisy, so a figure is a ratio of two sides measured in turn in one run; the
absolute values stand beside it for orientation only.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
N = TypeVar("N", int, float)


class Size(StrEnum):
    """How much to measure: `tiny` only shows that a benchmark runs, its figures mean nothing."""

    FULL = "full"
    TINY = "tiny"

    def of(self, full: N, tiny: N) -> N:
        """The number for this size."""
        return full if self is Size.FULL else tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One claim: what was measured, against what, and the goal it is held to."""

    name: str
    value: float
    unit: str
    """`ratio`, `ms`, `images/s`, `MiB`, …"""
    goal: str = ""
    """As in the design: `≥ 0.95`; empty where there is none."""
    met: bool | None = None
    detail: str = ""
    """The two sides in absolute terms, the number of runs, the spread."""


def ratio(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    detail: str,
) -> Figure:
    """A ratio and whether it reaches its goal."""
    goal = (
        f"≥ {at_least}" if at_least is not None else f"≤ {at_most}" if at_most is not None else ""
    )
    met = (
        value >= at_least
        if at_least is not None
        else value <= at_most
        if at_most is not None
        else None
    )
    return Figure(name=name, value=value, unit="ratio", goal=goal, met=met, detail=detail)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that `share` (0..1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios pair by pair."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def peak_memory_mib(pid: int | str = "self") -> float:
    """Peak resident memory of a process so far, MiB (`VmHWM`); 0 where Linux does not tell."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return peaks[0] / 1024 if peaks else 0.0


def report(name: str, figures: Sequence[Figure], directory: Path = RESULTS) -> None:
    """Print the table and save it as `<name>.json` in a directory."""
    table = Table(title=name, title_justify="left")
    for column in ("figure", "value", "unit", "goal", "met", "detail"):
        table.add_column(column, overflow="fold")
    for figure in figures:
        met = {True: "yes", False: "NO", None: ""}[figure.met]
        table.add_row(
            figure.name, f"{figure.value:.4g}", figure.unit, figure.goal, met, figure.detail
        )
    Console(width=140).print(table)
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "name": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "load_average": os.getloadavg()[0],
        },
        "figures": [asdict(figure) for figure in figures],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (directory / f"{name}.json").write_text(text + "\n")
