"""A trace in, the table that `sightline trace` prints out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from sightline.infra.reporting.trace_hops import Hop


def trace_table(hops: Sequence[Hop]) -> Table:
    """One row a hop: when, how long after the one before, how long after the first."""
    rows = Table("hop", "at", "after the one before", "after the first")
    before = first = hops[0].at
    for hop in hops:
        rows.add_row(
            hop.name,
            hop.at.strftime("%H:%M:%S.%f")[:-3],
            _span((hop.at - before).total_seconds()),
            _span((hop.at - first).total_seconds()),
        )
        before = hop.at
    return rows


def _span(seconds: float) -> str:
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
