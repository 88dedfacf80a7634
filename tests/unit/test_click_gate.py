"""What the gate says of poisoned clicks, on drawn photos: the parts of the benchmark's tables."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from benchmarks import click_gate
from benchmarks.click_gate import by_choice, by_noise, gated, of_attackers, poisoned, smaller
from benchmarks.click_truths import judged, truths
from benchmarks.gate_candidates import judged_elsewhere, rows, shuffled, told
from benchmarks.photo_models import PhotoSite, labelled, pairs_by_label, pairs_in
from sightline.engine.embedding.projections import Projection
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
    assert made.told().endswith(f"by {made.found.unclicked.clusters} kinds, at strength 0.35")
    assert made.found.unclicked.clusters > 0


def test_a_choice_is_told_by_how_many_kinds_it_takes(
    site: PhotoSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for each number of kinds that leaves half to teach; too few hold out a fifth."""
    monkeypatch.setattr(click_gate, "CHOICE_RECORDS", 1_200)
    monkeypatch.setattr(click_gate, "CHOICE_CLICKS", (300,))
    for held, kept in (((2, 4, 40), ["2", "4"]), ((40,), ["3"])):
        monkeypatch.setattr(click_gate, "HELD", held)
        rows = [row.strip("| ").split(" | ") for row in by_choice(site)][2:]
        assert [(row[0], row[2]) for row in rows] == [("300", out) for out in kept]
        assert all(row[3].endswith("` at 0.35") for row in rows)
        assert {len(row) for row in rows} == {7}


def test_known_bad_heads_are_judged_by_other_things(site: PhotoSite) -> None:
    """What learnt nothing is too little to tell, and what is no head is refused before."""
    away = site.without(site.photos.labels.tolist())
    nothing = site.trained(pairs_by_label(site), HeadSettings(steps=0, whitening=False))
    judged = list(judged_elsewhere(site, away, nothing))
    assert [row[0] for row in judged] == ["0.2", "0.35", "0.6", "1"]
    assert {row[3] for row in judged} == {"too little"}
    broken = replace(nothing, change=np.full_like(nothing.change, np.nan))
    told = [*rows([("NaN", lambda: broken)], partial(judged_elsewhere, site, away))][2:]
    assert [row.startswith("| NaN |  |  |  | refused before the gate: ") for row in told] == [True]


def test_careless_clicks_are_judged_on_each_draw_of_silent_labels(
    site: PhotoSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row a log: a handful of clicks releases nothing, at the careful strength."""
    monkeypatch.setattr(click_gate, "THIRDS", 2)
    monkeypatch.setattr(click_gate, "NOISY_RECORDS", 1_200)
    monkeypatch.setattr(click_gate, "NOISY_CLICKS", (300,))
    one_domain = np.char.add("a/", site.photos.labels)
    rows = list(by_noise(replace(site, photos=replace(site.photos, labels=one_domain))))[2:]
    assert [row.split(" | ")[:2] for row in rows] == [["| 0", "300"], ["| 1", "300"]]
    assert all("`released`" not in row and "at strength 0.35" in row for row in rows)


def test_a_head_is_judged_at_each_strength(site: PhotoSite) -> None:
    """What learnt nothing gains nothing and is not released, two labels of eight being silent."""
    silent = site.without(np.unique(site.photos.labels)[:2].tolist())
    head = silent.trained(pairs_by_label(silent), HeadSettings(steps=0, whitening=False))
    rows = list(told(silent, head))
    assert [row[0] for row in rows] == ["0.2", "0.35", "0.6", "1"]
    assert {gain.partition(" ")[0] for row in rows for gain in row[1:3]} == {"+0.0"}
    assert "released" not in {row[3] for row in rows}


def test_shuffled_positives_are_the_same_ones(site: PhotoSite) -> None:
    """Each anchor keeps its place, and few keep what was preferred for them."""
    pairs = pairs_by_label(site)
    mixed = shuffled(pairs)
    assert np.array_equal(mixed.anchor, pairs.anchor)
    assert np.array_equal(np.sort(mixed.positive), np.sort(pairs.positive))
    assert (mixed.positive == pairs.positive).mean() < 0.1


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
