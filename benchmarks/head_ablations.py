"""What each part of a head's training is worth: clicks of several kinds and numbers, and rounds.

    python -m benchmarks.head_ablations [--photos FOLDER] [--keep FOLDER] [--write docs/training.md]

As `training_unclicked.py` with the first of its thirds: clicks of simulated people on pages of the
train photos of two labels of three; query photos of all labels are then searched among all gallery
photos. A quarter of an hour of one core; with `--keep` it goes on where it was broken off, and
several may share the work.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from benchmarks.label_replay import put_between_marks
from benchmarks.photo_clicks import CLEAN, DEFAULT, NOISY, Clicks, Habits
from benchmarks.photo_models import (
    PHOTOS,
    PhotoSite,
    pairs_by_label,
    pairs_on_pages,
    photo_site,
    triples_in,
)
from benchmarks.training import (
    CAREFUL,
    GREEDY,
    MANY,
    NORMAL,
    RULES,
    SEED,
    Outcome,
    in_rounds,
)
from sightline.engine.label_data.propensity import PositionBias, PropensityCurve
from sightline.training.datasets.pairs import ClickPairs, pairs_of
from sightline.training.loop.settings import HeadSettings
from sightline.training.models.default_projection import held_out_third

FEW, SOME = 1_000, 10_000
COUNTS = (FEW, SOME, MANY)
"""Clicks of each kind of people."""
PEOPLE: Mapping[str, Habits] = {each.name: each for each in (DEFAULT, CLEAN, NOISY)}
RECORDS: Mapping[str, float] = {DEFAULT.name: 1.1, CLEAN.name: 1.1, NOISY.name: 2.4}
"""Records that surely hold a click; careless people click less, so they search more."""
ROUNDS = (2, 3)
WHITENED, STRENGTHS = 0.0, (CAREFUL, NORMAL, GREEDY)
ALL = (WHITENED, *STRENGTHS)
AS_IT_IS = "**as it is**"
PAGES, LABELS = "all that is right on the pages clicked", "true labels in place of clicks"
"""What clicks lose of what pages show, and of what there is."""
WALKLESS, MASKED = "without walks", "with a mask of two clicks"
EARLIER = "with that mask in place of walks"
WEIGHTED = "weights 1 ÷ true position bias"
GRADED = "clicks where a photo of the family is half an answer"
EVERYWHERE: Mapping[str, dict[str, Any]] = {
    AS_IT_IS: {},
    "without whitening": {"whitening": False},
    "without what searches passed over": {"mined": 0},
    WALKLESS: {"click_walk": False},
    MASKED: {"click_mask": True},
    EARLIER: {"click_walk": False, "click_mask": True},
}
"""The parts that are taken from every log, or added."""
LINES = (AS_IT_IS, MASKED, EARLIER)
"""What is told at every strength, to compare the lines that they walk along."""
ONCE: Mapping[str, dict[str, Any]] = {
    "without random pictures": {"corpus": 0},
    "without the mask of look-alikes": {"near_duplicate_bits": -1},
    "without that and the mask of identity": {"near_duplicate_bits": -1, "identity_mask": False},
    "`--skip-hardest 3`": {"skip_hardest": 3},
    "`--balance 0`": {"balance": 0.0},
    "`--balance 1`": {"balance": 1.0},
    "`--steps 100`": {"steps": 100},
    "`--steps 400`": {"steps": 400},
}
"""The settings that are changed for the longest log of default people alone."""
_PLACES = 24
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Column:
    """A log, and what it teaches by each row of the table."""

    name: str
    clicks: int
    rows: Mapping[str, Outcome]


def true_curve(habits: Habits) -> PropensityCurve:
    """The position bias that simulated people really have, at most tenfold."""
    bias = [habits.model.patience**place for place in range(_PLACES)]
    most = 10.0
    return PropensityCurve(
        method="known",
        fitted_at=_NOW,
        source_topics=(),
        first_epoch=None,
        last_epoch=None,
        searches=0,
        anchors=0,
        pairs=0,
        max_weight=most,
        bootstrap=0,
        seed=0,
        positions=tuple(
            PositionBias(position=at, fitted=True, propensity=p, weight=min(most, 1 / p))
            for at, p in enumerate(bias, 1)
        ),
    )


def taught(
    site: PhotoSite, pairs: ClickPairs, settings: HeadSettings, strengths: Sequence[float] = ALL
) -> Outcome:
    """Train, and search at some strengths."""
    return Outcome.of(site, site.trained(pairs, settings), strengths)


def column(
    site: PhotoSite, name: str, logs: Sequence[Clicks], habits: Habits, *, full: bool = False
) -> Column:
    """Train on some logs as it is, and without each of the parts.

    Args:
        site: where they were clicked.
        name: of the people, or of the round.
        logs: what they clicked, as one data set.
        habits: theirs.
        full: at all strengths, and with what is changed once.
    """
    table = triples_in(logs, RULES)
    pairs, weighted = pairs_of(table), pairs_of(table, propensity=true_curve(habits))
    parts = {**EVERYWHERE, **(ONCE if full else {})}
    jobs = {part: (pairs, replace(site.head, **changes)) for part, changes in parts.items()}
    clicks = sum(log.count for log in logs)
    made = {}
    for part, job in {**jobs, WEIGHTED: (weighted, site.head)}.items():
        strengths = ALL if full or part in LINES else (NORMAL,)
        made[part] = taught(site, *job, strengths)
        told = {strength: _gains(made[part], strength) for strength in strengths}
        print(f"{name}, {clicks:,} clicks, {part}: {told}", flush=True)
    return Column(name, clicks, made)


def clicked(site: PhotoSite, people: str, count: int) -> Clicks:
    """The first so many clicks of some people on the shipped model's pages."""
    records = round(count * RECORDS[people])
    return site.clicks(PEOPLE[people], records, RULES, seed=SEED).first(count)


def of_people(site: PhotoSite, people: str, count: int) -> Column:
    """What so many clicks of some people teach."""
    full = (people, count) == (DEFAULT.name, MANY)
    made = column(site, people, [clicked(site, people, count)], PEOPLE[people], full=full)
    return replace(made, rows={**made.rows, GRADED: graded(site, people, count)}) if full else made


def graded(site: PhotoSite, people: str, count: int) -> Outcome:
    """What so many clicks teach where a photo of the same coarse label is half an answer."""
    log = clicked(replace(site, families=True), people, count)
    return taught(site, pairs_of(triples_in([log], RULES)), site.head)


def of_rounds(site: PhotoSite, rounds: int) -> Column:
    """As many clicks in all, but each round on the pages of what those before it taught."""
    each = SOME // rounds
    first = clicked(site, DEFAULT.name, each)
    logs = in_rounds(site, first, round(each * RECORDS[DEFAULT.name]), rounds)
    return column(site, f"{rounds} rounds", logs, DEFAULT)


def of_labels(site: PhotoSite) -> Column:
    """The ceilings: labels teach in place of clicks."""
    pairs = {PAGES: pairs_on_pages(site), LABELS: pairs_by_label(site)}
    return Column(LABELS, 0, {name: taught(site, some, site.head) for name, some in pairs.items()})


def jobs(site: PhotoSite) -> dict[str, Callable[[], Column]]:
    """All columns by name, in the order of the table."""
    people = {
        f"{name} {count}": partial(of_people, site, name, count)
        for name in PEOPLE
        for count in COUNTS
    }
    rounds = {f"{each} rounds": partial(of_rounds, site, each) for each in ROUNDS}
    return {**people, **rounds, LABELS: partial(of_labels, site)}


def kept(name: str, job: Callable[[], Column], folder: Path | None) -> Column:
    """What a job comes to, or came to in an earlier run that kept it in the folder."""
    if folder is None:
        return job()
    file = folder / f"{name.replace(' ', '-')}.pickle"
    if not file.exists():
        made = pickle.dumps(job())
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made)
    return cast("Column", pickle.loads(file.read_bytes()))  # noqa: S301 - we wrote it


def in_full(columns: Sequence[Column], ceilings: Mapping[str, Outcome]) -> Iterator[str]:
    """The longest log of default people at every strength: mAP."""
    chosen = next(each for each in columns if ONCE.keys() <= each.rows.keys())
    recipe = chosen.rows[AS_IT_IS]
    yield f"| {chosen.clicks:,} clicks | clicked labels | labels without a click |"
    yield "|---|---|---|"
    yield _line("the shipped projection", [recipe.means()])
    yield _line("whitened alone (strength 0)", [recipe.means(WHITENED)])
    for name, found in {**chosen.rows, **ceilings}.items():
        yield _line(name, [found.means(strength) for strength in STRENGTHS])


def _line(name: str, means: Sequence[tuple[float, float]]) -> str:
    cells = (" / ".join(f"{each[at]:.3f}".lstrip("0") for each in means) for at in (0, 1))
    return f"| {name} | {' | '.join(cells)} |"


def by_log(columns: Sequence[Column], ceilings: Mapping[str, Outcome]) -> Iterator[str]:
    """Every log at one strength, and the recipe at the others: points of mAP gained."""

    def line(name: str, found: Iterable[Outcome], strength: float) -> str:
        return f"| {name} | " + " | ".join(_gains(each, strength) for each in found) + " |"

    recipe = [each.rows[AS_IT_IS] for each in columns]
    yield "| | " + " | ".join(f"{each.name}, {each.clicks:,}" for each in columns) + " |"
    yield "|---|" + "---:|" * len(columns)
    yield line("whitened alone (strength 0)", recipe, WHITENED)
    for name in LINES:
        for strength in STRENGTHS:
            yield line(f"{name}, strength {strength:g}", (c.rows[name] for c in columns), strength)
    for name in (*(part for part in EVERYWHERE if part not in LINES), WEIGHTED):
        yield line(f"{name}, {NORMAL:g}", (each.rows[name] for each in columns), NORMAL)
    for name, found in ceilings.items():
        yield line(f"{name}, {NORMAL:g}", [found] * len(columns), NORMAL)


def _gains(found: Outcome, strength: float) -> str:
    pairs = zip(found.means(strength), found.means(), strict=True)
    return " / ".join(f"{100 * (new - old):+.1f}" for new, old in pairs)


def main() -> None:
    """Print the tables, or put them between their marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--keep", type=Path, help="a folder of columns that are measured already")
    parser.add_argument("--only", nargs="+", metavar="COLUMN", help="measure these, print no table")
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    site = photo_site(arguments.photos)
    work = jobs(site.without(held_out_third(site.photos.labels.tolist(), 0)))
    names = arguments.only or list(work)
    *columns, labels = (kept(name, work[name], arguments.keep) for name in names)
    if arguments.only:
        return
    for name, table in {"a head's parts": in_full, "a head by logs": by_log}.items():
        text = "\n".join(table(columns, labels.rows))
        print(text)
        if arguments.write:
            put_between_marks(arguments.write, name, text)


if __name__ == "__main__":
    main()
