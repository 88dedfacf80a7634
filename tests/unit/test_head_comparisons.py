"""Heads beside those of the recipe: by tuned settings, and behind a gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import head_depth, tuning_worth
from benchmarks.familiarity import ALONG, BOTH, GATED, Heads, clicked_features, lines
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import pairs_in
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from tests.drawn_photos import WIDTH, drawn_site

RULES = LabelRules()


def test_familiar_heads_stand_beside_the_same_head_alone() -> None:
    """Behind the product's gate, along familiar directions, and both, each at its strengths."""
    site = drawn_site()
    pairs = pairs_in([site.clicks(DEFAULT, 300, RULES, seed=1)], RULES)
    one = np.eye(WIDTH, dtype=np.float32)
    head = Head.of(site.start.mean, site.start.matrix, one)
    heads = Heads.of(site, head, clicked_features(site, pairs))
    assert [each.gate is not None for each in heads.made.values()] == [False, True, False, True]
    assert heads.made[GATED].change is heads.made[0.0].change
    assert heads.made[BOTH].change is heads.made[ALONG].change is not head.change
    outcome = heads.measured(site.without(["kind/1"]))
    assert [line.split(" | ")[0] for line in lines([(outcome,)])][2:] == [
        *("| strength 0.35", "| strength 0.6", "| strength 1"),
        *(f"| the gate, {strength}" for strength in ("0.35", "0.6", "0.72", "1")),
        *(f"| along familiar directions, {strength}" for strength in ("0.35", "0.6", "0.72", "1")),
        *("| both, 0.6", "| both, 0.72", "| both, 1"),
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
