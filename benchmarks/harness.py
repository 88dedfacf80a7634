"""What every benchmark shares: percentiles, side-by-side ratios, a table and a JSON file.

Machines are shared and noisy, so a figure is a ratio of two sides measured in turn in one run; the
absolute values stand beside it for orientation only.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


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
    """The nearest-rank percentile; `share` in 0..1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def in_turn(
    first: Callable[[], float], second: Callable[[], float], *, rounds: int
) -> tuple[list[float], list[float]]:
    """Measure two sides A B A B …, so that drift of the machine meets both."""
    pairs = [(first(), second()) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios pair by pair."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def peak_memory_mib() -> float:
    """Peak resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(name: str, figures: Sequence[Figure]) -> None:
    """Print the table and save it as `benchmarks/results/<name>.json`."""
    table = Table(title=name, title_justify="left")
    for column in ("figure", "value", "unit", "goal", "met", "detail"):
        table.add_column(column, overflow="fold")
    for figure in figures:
        met = {True: "yes", False: "NO", None: ""}[figure.met]
        table.add_row(
            figure.name, f"{figure.value:.4g}", figure.unit, figure.goal, met, figure.detail
        )
    Console(width=140).print(table)
    RESULTS.mkdir(exist_ok=True)
    document = {
        "name": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "processor": platform.machine(),
            "python": platform.python_version(),
        },
        "figures": [asdict(figure) for figure in figures],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
