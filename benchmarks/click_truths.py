"""How well clicks judge a model: beside what equal labels say of the same queries and gallery.

    python -m benchmarks.click_truths [--photos FOLDER] [--write docs/evaluation.md]

Clicks of simulated people on pages of train photos teach a head; the queries that its training kept
out are ranked among all of these photos under it and under the shipped model. What is relevant is
told by labels, by what lies within two clicks, and by clicks alone. Some minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.head_ablations import FEW, SOME, clicked
from benchmarks.label_replay import print_lines
from benchmarks.photo_clicks import Clicks
from benchmarks.photo_models import PHOTOS, PhotoSite, labelled, pairs_in, photo_site
from benchmarks.training import CAREFUL, MANY, RULES
from sightline.engine.embedding.projections import AnyProjection, project_all
from sightline.training.evaluation.click_truth import PictureQueries, clicks_as_truth
from sightline.training.evaluation.paired import paired_difference
from sightline.training.evaluation.relevance import (
    RELEVANT_GRADE,
    EqualLabels,
    JudgedPairs,
    Relevance,
)
from sightline.training.evaluation.retrieval import QueryScores, score_queries
from sightline.training.loop.learning import LearningSettings, Learnt, learn

MARK = "truths that judge"
LOGS = (("default", MANY), ("default", SOME), ("noisy", 6_000), ("noisy", FEW))
"""People, and how many clicks of theirs."""
KEPT = 4
"""Of so many dimensions a broken model keeps one."""


def truths(site: PhotoSite, learnt: Learnt, queries: PictureQueries) -> dict[str, Relevance]:
    """What is relevant for each query, by three ways to tell it."""
    _, labels = labelled(site)
    anchors, pairs, held = queries.anchors, learnt.pairs, learnt.held_out
    unseen = held.test | held.asked | (learnt.time.later & held.train)
    query = np.searchsorted(anchors, pairs.anchor[unseen])
    preferred = zip(query.tolist(), pairs.positive[unseen].tolist(), strict=True)
    alone = ((asked, picture, RELEVANT_GRADE) for asked, picture in preferred)
    count = len(pairs.images)
    return {
        "by labels": EqualLabels.of(labels[anchors].tolist(), labels.tolist(), own=anchors),
        "within two clicks": queries.truth,
        "clicks alone": JudgedPairs.of(alone, queries=len(anchors), gallery=count, own=anchors),
    }


def judged(
    site: PhotoSite, name: str, log: Clicks, broken: Mapping[str, AnyProjection]
) -> Iterator[str]:
    """What a log's head gains by each truth where clicked / where held out; then other models.

    Args:
        site: where it was clicked.
        name: of the log.
        log: what was clicked.
        broken: further models by name, judged by the same queries.
    """
    settings = LearningSettings(head=site.head)
    learnt = learn(pairs_in([log], RULES), site.features(), site.start, settings)
    queries = clicks_as_truth(learnt.pairs, learnt.held_out, learnt.time.later)
    known = truths(site, learnt, queries)
    head = learnt.trained.head.projection(CAREFUL)
    for told, model in {name: head, **broken}.items():
        cells = (_gains(site, queries, truth, model) for truth in known.values())
        yield f"| {told} | {' | '.join(cells)} |"


def _gains(site: PhotoSite, queries: PictureQueries, truth: Relevance, model: AnyProjection) -> str:
    before, after = (_scores(site, queries, truth, each) for each in (site.start, model))
    groups = queries.groups
    points = (
        paired_difference(before.at(part), after.at(part), groups.clusters[part]).point
        for part in (groups.clicked, ~groups.clicked)
    )
    return " / ".join(f"{each:+.3f}" for each in points)


def _scores(
    site: PhotoSite, queries: PictureQueries, truth: Relevance, model: AnyProjection
) -> QueryScores:
    vectors = project_all(model, site.features().features)
    return score_queries(vectors[queries.anchors], vectors, truth)


def measured(site: PhotoSite) -> Iterator[str]:
    """The lines of the table: a log each, and a model that lost most of its dimensions."""
    yield "| | by labels | within two clicks | clicks alone |"
    yield "|---|---|---|---|"
    start = site.start
    lost = {
        "a model that lost three dimensions of four, by the same queries": replace(
            start, matrix=np.ascontiguousarray(start.matrix[:, ::KEPT])
        )
    }
    for people, count in LOGS:
        name = f"{count:,} clicks of {people} people"
        yield from judged(site, name, clicked(site, people, count), lost if count == MANY else {})


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_lines(measured(photo_site(arguments.photos)), MARK, arguments.write)


if __name__ == "__main__":
    main()
