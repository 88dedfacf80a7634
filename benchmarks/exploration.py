"""How much of the position bias a share of varied pages tells, and what it costs in clicks.

    python -m benchmarks.exploration [--photos FOLDER] [--records N] [--write docs/labels-data.md]

Pages of train photos, ranked by the shipped model; people go on to the next place with probability
.9, so that the bias of place k is truly .9^(k-1). The fit sees what the join closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.label_replay import print_table
from benchmarks.photo_clicks import DEFAULT, Clicks, clicks_on
from benchmarks.photo_models import PHOTOS, photo_site
from sightline.engine.exploration import is_explored
from sightline.engine.label_data.propensity import PropensityCurve
from sightline.producers.click_simulator.ranked_catalogue import RankedCatalogue
from sightline.schemas.labels import Verdict
from sightline.stream_workers.labels.codecs.searches import Search
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.propensity.fit import FitSettings, fit
from sightline.training.propensity.views import Views

if TYPE_CHECKING:
    from sightline.schemas.labels import SearchClosed

RECORDS = 24_000
"""Some 25,000 clicks."""
SEED = 1
SHARES = (0.0, 0.05, 0.2, 1.0)
PATIENCE = DEFAULT.model.patience
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def searches_of(clicks: Clicks) -> Iterator[tuple[int, Search]]:
    """Each person's search with its epoch."""
    for epoch, closed in sorted(clicks.epochs.items()):
        yield from ((epoch, each) for _, each in closed if each.verdict == Verdict.PERSON.value)


def curve_of(clicks: Clicks) -> PropensityCurve:
    """The position bias as it is fitted on a log."""
    views = Views()
    for epoch, search in searches_of(clicks):
        views.add(cast("SearchClosed", search), epoch)
    return fit(views, FitSettings(), now=_NOW, topics=())


def errors(curve: PropensityCurve) -> list[float]:
    """By how much of the truth each place that is fitted, but the first, is wrong."""
    fitted = [place for place in curve.positions if place.fitted and place.position > 1]
    return [abs((at.propensity or 0) / PATIENCE ** (at.position - 1) - 1) for at in fitted]


def clicks_each(searches: Iterable[Search]) -> float:
    """Images that were clicked in a search, in the mean."""
    counts = [sum(image.clicks > 0 for image in search.shown) for search in searches]
    return float(np.mean(counts)) if counts else float("nan")


def row(catalogue: RankedCatalogue, share: float, records: int) -> str:
    """A line of the table."""
    site = replace(DEFAULT.site(), explored=share)
    clicks = clicks_on(catalogue, DEFAULT, records, LabelRules(), seed=SEED, site=site)
    curve = curve_of(clicks)
    wrong = errors(curve)
    told = f"{np.mean(wrong):.1%}, at most {max(wrong):.1%}" if wrong else "-"
    searches = [search for _, search in searches_of(clicks)]
    varied = clicks_each(s for s in searches if is_explored(s.variant))
    plain = clicks_each(s for s in searches if not is_explored(s.variant))
    cells = (
        f"{share:g}",
        f"{curve.explored:,} of {curve.searches:,}",
        f"{len(wrong)} of {len(curve.positions) - 1}",
        told,
        "-" if np.isnan(varied) else f"{varied:.3f}",
        "-" if np.isnan(plain) else f"{plain:.3f}",
    )
    return "| " + " | ".join(cells) + " |"


def table(photos: Path, records: int) -> str:
    """The table as Markdown."""
    catalogue = photo_site(photos).catalogue()
    lines = [
        f"{records:,} simulated records, seed {SEED}; the last two columns: clicks of a search.",
        "",
        "| `explore_share` | searches varied | places known after 1 | off by | varied | not |",
        "|---:|---:|---:|---:|---:|---:|",
        *(row(catalogue, share, records) for share in SHARES),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print_table(__doc__, "exploration", table, photos=PHOTOS, records=RECORDS)
