"""Heads beside those of the recipe: by tuned settings, and behind a gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import head_depth, tuning_worth
from benchmarks.familiarity import Gate, clicked_features, lines, measured
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
    head = Head.of(site.start.mean, site.start.matrix, one)
    shown = site.features().features
    strange = np.roll(shown, WIDTH // 2, axis=1)
    often, seldom = (np.median(gate.vectors(head, 1.0, f) / f - 1) for f in (shown, strange))
    assert often > 0.8
    assert seldom < 0.3
    outcome = measured(site.without(["kind/1"]), head, gate, clicked_features(site, pairs))
    assert [line.split(" | ")[0] for line in lines([(outcome,)])][2:] == [
        *("| strength 0.35", "| strength 0.6", "| strength 1"),
        *("| the gate, 0.35", "| the gate, 0.6", "| the gate, 1"),
        *(f"| along familiar directions, {strength}" for strength in ("0.35", "0.6", "0.72", "1")),
    ]


def test_hidden_layers_stand_beside_a_linear_head() -> None:
    """Each depth and activation, by the head and by what it was made of, for each log."""
    site = replace(drawn_site(), head=HeadSettings(steps=2, batch=8, corpus=8)).without(["kind/1"])
    pairs = pairs_in([site.clicks(DEFAULT, 300, RULES, seed=1)], RULES)
    made = list(head_depth.lines(site, {"300": pairs}))[2:]
    assert len(made) == 1 + 2 * 2 * 3
    assert all(line.count(" / ") == 3 for line in made)
    linear = made[0].split(" | ")[1]
    settings = head_depth.ways(site.head)[head_depth.LINEAR]
    both = head_depth.Learnt.of(site, pairs, settings)
    assert both.head.means(1.0) == pytest.approx(both.deep.means(1.0))
    assert linear in head_depth.line("", [(both.deep, "")])


def test_tuned_settings_stand_beside_the_defaults() -> None:
    """Of the trials the best by clicks; both are told for the same third."""
    site = replace(drawn_site(), head=HeadSettings(steps=2, batch=8, corpus=8))
    *_, defaults, found = tuning_worth.lines(site, trials=2, count=300, draws=1)
    assert defaults.startswith("| 0 | the defaults | ")
    qualities = [float(line.split(" | ")[2]) for line in (defaults, found)]
    assert qualities[1] >= qualities[0]
    assert found.count(" / ") == 2
