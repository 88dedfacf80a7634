"""One row per (search, positive): against a slow oracle, and rule by rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.engine.label_data.judgements import Grade
from sightline.engine.label_data.propensity import PositionBias, PropensityCurve
from sightline.training.datasets.pairs import ClickPairs, pairs_of
from tests.training_rows import judgement, table, triple

Told = tuple[int, str, str, str, tuple[str, ...], int, float]
"""Milliseconds, search, anchor, positive, negatives, grade, weight."""


def told(pairs: ClickPairs) -> list[Told]:
    """The pairs in words, in their order."""
    name = pairs.images
    return [
        (
            int(pairs.issued_at_ms[row]),
            pairs.search[row],
            name[pairs.anchor[row]],
            name[pairs.positive[row]],
            tuple(name[at] for at in pairs.negatives[pairs.owners() == row]),
            int(pairs.grade[row]),
            float(pairs.weight[row]),
        )
        for row in range(len(pairs))
    ]


def slow_pairs(rows: Sequence[dict[str, Any]], judgements: Sequence[Grade]) -> list[Told]:
    """docs/labels.md word by word: judgements override, and no positive is ever a negative."""
    latest: dict[tuple[str, str, str], Grade] = {}
    for judged in sorted(judgements, key=lambda j: (j.judged_at_ms, j.event_id)):
        latest[judged.anchor, judged.image, judged.judge] = judged
    grades: defaultdict[tuple[str, str], list[Grade]] = defaultdict(list)
    for judged in latest.values():
        grades[judged.anchor, judged.image].append(judged)
    means = {pair: sum(j.grade for j in js) / len(js) for pair, js in grades.items()}
    found: dict[tuple[int, str, str, str], tuple[set[str], int, float]] = {}
    for row in rows:
        if means.get((row["anchor_id"], row["positive_id"]), 5) > 1:
            ms = round(row["issued_at"].timestamp() * 1000)
            key = (ms, row["search_id"], row["anchor_id"], row["positive_id"])
            found.setdefault(key, (set(), row["grade"], row["sampling_weight"]))
            found[key][0].add(row["negative_id"])
    for (anchor, image), mean in means.items():
        if mean >= 4:
            ms = max(j.judged_at_ms for j in grades[anchor, image])
            found[ms, "", anchor, image] = (set(), round(mean), 1.0)
    positives = {(anchor, positive) for _, _, anchor, positive in found}
    answer = []
    for (ms, search, anchor, positive), (negatives, grade, weight) in sorted(found.items()):
        explicit = {image for (a, image), mean in means.items() if a == anchor and mean <= 1}
        kept = {n for n in negatives if (anchor, n) not in positives} | explicit
        answer.append((ms, search, anchor, positive, tuple(sorted(kept)), grade, weight))
    return answer


_IMAGES = st.sampled_from("abcdef")
_TRIPLES = st.lists(
    st.tuples(st.sampled_from(["s1", "s2", "s3", "s4"]), _IMAGES, _IMAGES), max_size=25, unique=True
)
_JUDGEMENTS = st.lists(
    st.tuples(
        _IMAGES, _IMAGES, st.integers(0, 5), st.sampled_from(["k~ann", "k~bob"]), st.integers(0, 3)
    ),
    max_size=8,
)


@given(_TRIPLES, _JUDGEMENTS)
@settings(max_examples=60, deadline=None)
def test_pairs_are_what_the_rules_say(
    triples: list[tuple[str, str, str]], judged: list[tuple[str, str, int, str, int]]
) -> None:
    """Whatever was clicked and judged, in whatever order the rows come."""
    of_search = {"s1": ("a", 3, 1.0), "s2": ("b", 1, 0.5), "s3": ("a", 1, 0.25), "s4": ("c", 2, 1)}
    rows = [
        triple(s, of_search[s][0], p, n, minute=of_search[s][1], sampling_weight=of_search[s][2])
        for s, p, n in triples
    ]
    judgements = [
        judgement(a, i, grade, judge=judge, minute=minute, event=str(number))
        for number, (a, i, grade, judge, minute) in enumerate(judged)
    ]
    assert told(pairs_of(table(rows), judgements)) == slow_pairs(rows, judgements)


def test_a_pair_has_all_that_was_passed_over_for_it() -> None:
    """Three triples of one click are one row."""
    rows = [triple("s1", "a", "p", negative) for negative in ("n3", "n1", "n2")]
    assert told(pairs_of(table(rows))) == [(0, "s1", "a", "p", ("n1", "n2", "n3"), 3, 1.0)]


def test_what_somebody_clicked_for_the_anchor_is_no_negative_of_it() -> None:
    """Also in another search, and later; the pair stays, if need be without a negative."""
    rows = [triple("s1", "a", "p", "q"), triple("s2", "a", "q", "n", minute=9)]
    assert [row[4] for row in told(pairs_of(table(rows)))] == [(), ("n",)]


def test_a_judgement_overrides_clicks() -> None:
    """`p` was clicked and is judged irrelevant; `n` was passed over and is judged relevant."""
    rows = [triple("s1", "a", "p", "m"), triple("s1", "a", "q", "n"), triple("s2", "b", "p", "n")]
    judged = [judgement("a", "p", 1), judgement("a", "n", 5, minute=7)]
    assert told(pairs_of(table(rows), judged)) == [
        (0, "s1", "a", "q", ("p",), 3, 1.0),
        (0, "s2", "b", "p", ("n",), 3, 1.0),
        (420_000, "", "a", "n", ("p",), 5, 1.0),
    ]


def test_a_grade_between_says_nothing() -> None:
    """Two judges who disagree leave the clicks as they are."""
    judged = [judgement("a", "p", 0), judgement("a", "p", 5, judge="key~bob")]
    assert told(pairs_of(table([triple("s1", "a", "p", "n")]), judged)) == [
        (0, "s1", "a", "p", ("n",), 3, 1.0)
    ]


def test_a_place_counts_by_its_propensity() -> None:
    """A place that is rarely looked at counts more; a place that is not known counts 1."""
    curve = PropensityCurve(
        method="", fitted_at=datetime.fromtimestamp(0, UTC), source_topics=(), first_epoch=None,
        last_epoch=None, searches=0, anchors=0, pairs=0, max_weight=10, bootstrap=1, seed=0,
        positions=(PositionBias(position=2, fitted=True, weight=4.0),),
    )  # fmt: skip
    rows = [
        triple("s1", "a", "p", "n", sampling_weight=0.5),
        triple("s1", "a", "q", "n", positive_position=9),
    ]
    assert pairs_of(table(rows), propensity=curve).weight.tolist() == [2.0, 1.0]


def test_nothing_makes_no_pairs() -> None:
    """An empty table is a data set without rows."""
    pairs = pairs_of(table([]))
    assert (len(pairs), pairs.images, pairs.negative_starts.tolist()) == (0, (), [0])


@pytest.fixture
def some() -> ClickPairs:
    """Three pairs, one of them without negatives once `n` is gone."""
    return pairs_of(
        table(
            [
                triple("s1", "a", "p", "n"),
                triple("s2", "b", "q", "m", minute=1),
                triple("s2", "b", "q", "n", minute=1),
                triple("s3", "a", "q", "m", minute=2),
            ]
        )
    )


def test_chosen_pairs_keep_their_negatives(some: ClickPairs) -> None:
    """By number in the order asked for, and by mask."""
    assert told(some.chosen(np.array([2, 1]))) == [told(some)[2], told(some)[1]]
    assert told(some.chosen(np.array([False, True, False]))) == [told(some)[1]]


def test_among_other_images_the_rest_is_left_out(some: ClickPairs) -> None:
    """Numbers are rows of the new list, in its order; pairs without both pictures are gone."""
    pairs = some.among(("q", "b", "m", "a"))
    assert pairs.images == ("q", "b", "m", "a")
    assert told(pairs) == [
        (60_000, "s2", "b", "q", ("m",), 3, 1.0),
        (120_000, "s3", "a", "q", ("m",), 3, 1.0),
    ]
