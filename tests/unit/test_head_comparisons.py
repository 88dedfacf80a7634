"""Heads beside those of the recipe: by tuned settings, and behind a gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks import tuning_worth
from benchmarks.familiarity import Gate, along_familiar, clicked_features, lines, measured
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import pairs_in
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from tests.drawn_photos import WIDTH, drawn_site

RULES = LabelRules()


def test_a_gate_leaves_what_is_unlike_all_that_was_clicked() -> None:
    """Here a head that doubles what is familiar; the table tells it beside the same head alone."""
    site = drawn_site()
    pairs = pairs_in([site.clicks(DEFAULT, 300, RULES, seed=1)], RULES)
    gate = Gate.of(site, pairs)
    one = np.eye(WIDTH, dtype=np.float32)
    head = Head(mean=site.start.mean, base=site.start.matrix, residual=one)
    shown = site.features().features
    strange = np.roll(shown, WIDTH // 2, axis=1)
    often, seldom = (np.median(gate.vectors(head, 1.0, f) / f - 1) for f in (shown, strange))
    assert often > 0.8
    assert seldom < 0.3
    outcome = measured(site.without(["kind/1"]), head, gate, clicked_features(site, pairs))
    assert [line.split(" | ")[0] for line in lines([(outcome,)])][2:] == [
        *("| strength 0.35", "| strength 0.6", "| strength 1"),
        *("| the gate, 0.35", "| the gate, 0.6", "| the gate, 1"),
        *(f"| along familiar directions, {strength}" for strength in ("0.35", "0.6", "1")),
    ]


def test_nothing_changes_along_directions_in_which_no_clicked_photo_varies() -> None:
    """Along the others it does, the more the more they vary."""
    start = drawn_site().start
    one = np.eye(WIDTH, dtype=np.float32)
    head = Head(mean=start.mean, base=start.matrix, residual=one)
    spread = np.array([0.0, 1.0, 10.0] + [0.0] * (WIDTH - 3), np.float32)
    clicked = start.mean + spread * np.random.default_rng(1).normal(size=(200, WIDTH))
    changed = along_familiar(start, head, 1.0, clicked.astype(np.float32)).matrix - start.matrix
    moved = np.linalg.norm(changed, axis=1) / np.linalg.norm(start.matrix, axis=1)
    assert moved[2] > 0.9
    assert 0.05 < moved[1] < 0.3
    assert np.delete(moved, [1, 2]).max() < 1e-6


def test_tuned_settings_stand_beside_the_defaults() -> None:
    """Of the trials the best by clicks; both are told for the same third."""
    site = replace(drawn_site(), head=HeadSettings(steps=2, batch=8, corpus=8))
    *_, defaults, found = tuning_worth.lines(site, trials=2, count=300, draws=1)
    assert defaults.startswith("| 0 | the defaults | ")
    qualities = [float(line.split(" | ")[2]) for line in (defaults, found)]
    assert qualities[1] >= qualities[0]
    assert found.count(" / ") == 2
