"""The demo's figures, and the table that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

from sightline.infra.demo.people import Feedback


@dataclass(slots=True, kw_only=True)
class Figures:
    """What one run of the demo measured; times in seconds."""

    photos: int
    indexing_s: float = 0.0
    first_search_s: float | None = None
    first_search_of: int = 0
    """How many photos were searchable then."""
    live: list[float] = field(default_factory=list)
    """Log to searchable of live uploads while the backfill ran."""
    by_id: Sequence[float] = ()
    by_upload: Sequence[float] = ()

    @property
    def live_uploads(self) -> int:
        """Counts the live uploads whose time to be searchable was measured."""
        return len(self.live)


def figures_table(figures: Figures) -> Table:
    """Builds the table of the figures that the demo prints at its end."""
    rows = Table(title="What this run measured", title_justify="left", show_header=False)
    rows.add_column(style="dim")
    rows.add_column()
    rows.add_row("photos indexed", f"{figures.photos} in {figures.indexing_s:.1f} s")
    rows.add_row("", f"{figures.photos / figures.indexing_s:.0f} a second")
    if figures.first_search_s is not None:
        rows.add_row(
            "first search answered",
            f"{figures.first_search_s:.1f} s after the start, {figures.first_search_of} of "
            f"{figures.photos} photos in",
        )
    rows.add_row("live upload, log to searchable, while filling", _spread(figures.live))
    rows.add_row("search by id", _spread(figures.by_id))
    rows.add_row("search by uploaded picture", _spread(figures.by_upload))
    return rows


def feedback_table(feedback: Feedback) -> Table:
    """What simulated people left behind, for a person."""
    rows = Table(title="What simulated people did", title_justify="left", show_header=False)
    rows.add_column(style="dim")
    rows.add_column()
    rows.add_row("searches", f"{feedback.searches}, with {feedback.acts} looks and clicks")
    rows.add_row("CTR", f"{feedback.ctr:.3f} ({feedback.clicked} of {feedback.shown} shown)")
    rows.add_row("training triples", f"{feedback.triples}, {feedback.waited_s:.0f} s later")
    return rows


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    ordered = [second * 1000 for second in sorted(seconds)]
    middle, high = ordered[len(ordered) // 2], ordered[int(0.95 * len(ordered))]
    return f"p50 {middle:.1f} ms, p95 {high:.1f} ms ({len(ordered)} times)"
