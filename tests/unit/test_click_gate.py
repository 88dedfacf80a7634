"""What the gate says of poisoned clicks, on drawn photos: the parts of the benchmark's tables."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import click_gate
from benchmarks.click_gate import gated, of_attackers, poisoned, smaller
from benchmarks.click_truths import judged, truths
from benchmarks.photo_models import PhotoSite, labelled, pairs_in
from sightline.engine.embedding.embedder import Projection
from sightline.training.evaluation.click_truth import clicks_as_truth
from sightline.training.evaluation.relevance import RELEVANT_GRADE
from sightline.training.loop.learning import LearningSettings, learn
from sightline.training.loop.settings import HeadSettings
from tests.unit.test_photo_clicks import _photos


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> PhotoSite:
    """Eight labels of ten photos, and a log of a few hundred records."""
    monkeypatch.setattr(click_gate, "RECORDS", 400)
    same = Projection(np.zeros(16, np.float32), np.eye(16, dtype=np.float32))
    return PhotoSite(_photos(labels=8), same, same, "m1", head=HeadSettings(steps=2))


def test_a_crowd_s_part_of_what_teaches_is_told(site: PhotoSite) -> None:
    """By who searched, which no stage sees; nobody attacks where the share is nothing."""
    for share, least in ((0.0, 0.0), (0.5, 0.2)):
        log = poisoned(site, share, sessions=20)
        searches = [search for each in log.epochs.values() for _, search in each]
        theirs = of_attackers(log, ((search.search_id, 1.0) for search in searches))
        assert theirs == 0 if not share else theirs > least


def test_few_photos_are_too_little(site: PhotoSite) -> None:
    """The verdict names what it rests on; a smaller shop has so many photos."""
    shop = smaller(site, 60)
    assert len(shop.shown().images) == 60
    made = gated(shop, pairs_in([poisoned(shop, 0.0, sessions=1)], click_gate.RULES),
                 LearningSettings(held_out=0.5))  # fmt: skip
    assert made.told().startswith("`too_little`: ")
    assert made.told().endswith(f"by {made.found.unclicked.clusters} kinds")
    assert made.found.unclicked.clusters > 0


def test_three_truths_judge_the_same_queries(site: PhotoSite) -> None:
    """By labels what shows the same; what was clicked lies within two clicks; a row a model."""
    log = poisoned(site, 0.0, sessions=1)
    pairs, settings = pairs_in([log], click_gate.RULES), LearningSettings(head=site.head)
    learnt = learn(pairs, site.features(), site.start, settings)
    queries = clicks_as_truth(learnt.pairs, learnt.held_out, learnt.time.later)
    count = len(queries.anchors)
    labels, near, alone = (
        each.grades(0, count) >= RELEVANT_GRADE for each in truths(site, learnt, queries).values()
    )
    _, shown = labelled(site)
    assert np.array_equal(labels, shown[queries.anchors][:, None] == shown)
    assert alone.any(axis=1).all()
    assert not (alone & ~near).any()
    assert near.sum() > alone.sum()
    lines = list(judged(site, "clicks", log, {"the same model": site.start}))
    zero = "+0.000 / +0.000"
    assert lines[1] == f"| the same model | {zero} | {zero} | {zero} |"
    assert lines[0].startswith("| clicks | ")
