"""The arithmetic of the benchmarks: percentiles, ratios, verdicts, arrivals, and the page."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.arrivals import Arrivals
from benchmarks.harness import Size, median_ratio, percentile, ratio, report
from benchmarks.node import Settled, images_per_s, server_timing
from benchmarks.results_page import PAGE, with_results


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0, 1))
def test_percentile_is_nearest_rank(values: list[float], share: float) -> None:
    """It is the smallest value that at least the share of all do not exceed."""
    enough = [v for v in sorted(values) if sum(w <= v for w in values) >= share * len(values)]
    assert percentile(values, share) == enough[0]


def test_percentiles_of_a_hundred() -> None:
    """Of 1 to 100 the p99 is 99 and the median 50."""
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]


def test_median_ratio_pairs_rounds() -> None:
    """Rounds are compared pair by pair, so that a slow round is slow for both sides."""
    assert median_ratio([10, 1, 30], [20, 2, 10]) == 0.5


def test_ratio_knows_its_goal() -> None:
    """A goal is met at its bound, from its side."""
    assert ratio("a", 0.95, at_least=0.95, detail="").met is True
    assert ratio("a", 0.94, at_least=0.95, detail="").met is False
    assert ratio("a", 1.51, at_most=1.5, detail="").met is False
    assert ratio("a", 1.0, detail="").met is None


def test_report_keeps_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON says figures, goals and the machine; the table shows a missed goal."""
    report("x", [ratio("speed", 0.5, at_least=0.8, detail="1 ÷ 2")], tmp_path)
    document = json.loads((tmp_path / "x.json").read_text())
    assert document["figures"][0] == {
        "name": "speed",
        "value": 0.5,
        "unit": "ratio",
        "goal": "≥ 0.8",
        "met": False,
        "detail": "1 ÷ 2",
    }
    assert document["machine"]["cores"] >= 1
    assert "NO" in capsys.readouterr().out


def test_poisson_arrivals_have_their_rate_and_repeat() -> None:
    """A seed fixes the instants; gaps are exponential with the mean of the rate."""
    arrivals = Arrivals(prefix="p", count=20_000, rate_per_s=50, poisson=True)
    instants = np.array(list(arrivals.instants()))
    gaps = np.diff(instants)
    assert list(arrivals.instants()) == instants.tolist()
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_even_and_immediate_arrivals() -> None:
    """Without Poisson they are evenly spaced, without a rate all are due at once."""
    assert list(Arrivals(prefix="p", count=3, rate_per_s=2).instants()) == [0.5, 1.0, 1.5]
    assert list(Arrivals(prefix="p", count=2).instants()) == [0, 0]


@pytest.mark.parametrize(
    ("consumed_s", "searchable_s", "rate"),
    [([1, 2, 3], [3, 4, 7], 0.5), ([2, 1, 1, 1], [3, 3, 3, 3], 2.0)],
)
def test_a_rate_counts_from_when_the_first_was_taken(
    consumed_s: list[int], searchable_s: list[int], rate: float
) -> None:
    """So that it is a number, too, where all became searchable at one instant."""
    second = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s) for s in range(8)]
    taken = zip(consumed_s, searchable_s, strict=True)
    assert images_per_s([Settled(second[0], second[a], second[b]) for a, b in taken]) == rate


def test_server_timing_is_read() -> None:
    """Stages and their milliseconds; an absent header has none."""
    assert server_timing("index;dur=1.50, total;dur=2.00") == {"index": 1.5, "total": 2.0}
    assert server_timing("") == {}


def test_sizes() -> None:
    """Tiny and full differ where a benchmark says so."""
    assert (Size.FULL.of(2_000, 4), Size.TINY.of(2_000, 4)) == (2_000, 4)


def test_page_shows_the_committed_results() -> None:
    """The page is what `python -m benchmarks.results_page` makes of benchmarks/results."""
    text = PAGE.read_text()
    assert with_results(text) == text


def test_missed_goals_are_explained() -> None:
    """Every figure that misses its goal is named under what stands in the way."""
    text = PAGE.read_text()
    explained = text.partition("## What stands in the way")[2]
    for name in re.findall(r"^\| (.+?) \| .* \| \*\*no\*\* \|", text, flags=re.MULTILINE):
        assert name in explained, name
