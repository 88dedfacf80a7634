"""`sightline judgements …`: what is worth grading, and how those who graded agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

from sightline.engine.errors import NotFound, SettingsInvalid
from sightline.engine.label_data.grading_pools import (
    PREFIX,
    Pool,
    PooledAnchor,
    load_pool,
    shown_to,
)
from sightline.engine.settings import Settings
from sightline.infra.cli import judgements as cli
from sightline.infra.cli.main import app
from sightline.infra.commands import kept_messages
from sightline.infra.commands.learning import judgements, networks
from sightline.infra.commands.learning.judgements import ChosenBy, PoolWishes, make_pool
from sightline.schemas.images import ObjectReference
from sightline.schemas.searches import UploadQuery
from sightline.training.evaluation.pooling import FoundForAnchor, find_first, worth_grading
from sightline.training.loop.head import Head
from tests.conftest import ROOT
from tests.learning import Colours
from tests.training_place import BUCKET, NAMES, Place, clicked, made_place

GROUP: Any = typer.main.get_command(app)
PAGE = (ROOT / "docs/grading.md").read_text()


def head(file: Path, seed: int) -> str:
    """A head over sixteen features that finds what no other seed finds."""
    random = np.random.default_rng(seed)
    Head(
        mean=random.normal(size=16).astype(np.float32),
        base=random.normal(size=(16, 3)).astype(np.float32),
        change=np.zeros((16, 3), np.float32),
    ).save(file)
    return str(file)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Pictures and clicks, and a log that commands read."""
    place = made_place(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kept_messages, "open_event_log", lambda _: place.log)
    monkeypatch.setattr(networks, "open_runtime", lambda *_: Colours())
    monkeypatch.setattr(cli, "load_settings", lambda: place.settings)
    return place


@pytest.fixture
def wishes(tmp_path: Path) -> PoolWishes:
    """Two heads that find different pictures."""
    models = tuple(head(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2))
    return PoolWishes(name="p", models=models, depth=4, anchors=6, strength=0.35)


def test_the_first_of_each_model_are_pooled() -> None:
    """Itself aside; what both find stands once; the less they share, the more they disagree."""
    line = np.stack([np.cos(np.arange(6) / 5), np.sin(np.arange(6) / 5)], axis=1)
    turned = line[[0, 3, 4, 1, 2, 5]]  # 1 and 2 have changed places with 3 and 4
    found = find_first([line, turned, line], np.asarray([0, 5]), depth=2)
    assert found.images == ((1, 2, 3, 4), (1, 2, 3, 4))
    assert found.disagreement == pytest.approx([2 / 3, 2 / 3])
    assert find_first([line], np.asarray([0]), depth=9).images == ((1, 2, 3, 4, 5),)
    assert find_first([line, line], np.asarray([0]), depth=2).disagreement == [0.0]


def test_the_most_wanted_come_first_once_each() -> None:
    """No look-alike of one that is taken, nothing that is not wanted, nothing judged."""
    found = FoundForAnchor(
        anchors=np.arange(5), images=((1,), (0, 2), (3, 4), (0,), (0,)), disagreement=np.zeros(5)
    )
    chosen = worth_grading(
        found,
        "abcde",
        {("c", "d"), ("d", "a")},
        first=[0.5, 0.9, 0.7, 0.8, 0.0],
        groups=np.asarray([1, 1, 2, 3, 4]),
        count=9,
    )
    assert chosen == [(1, ["a", "c"]), (2, ["e"])]


def test_a_pool_holds_what_models_disagree_on(place: Place, wishes: PoolWishes) -> None:
    """Stored under its name, once; of each search both models' first images, but what is judged."""
    made = make_pool(place.settings, wishes, lambda _: None)
    assert load_pool(place.store, BUCKET, "p") == made
    assert 0 < len(made.anchors) <= 6
    degrees = [anchor.disagreement for anchor in made.anchors]
    assert degrees == sorted(degrees, reverse=True)
    assert all(4 <= len(each.images) <= 8 for each in made.anchors if each.anchor_id != "i00")
    assert ("i00", "i05") not in made.pairs
    assert all(anchor != image for anchor, image in made.pairs)
    with pytest.raises(SettingsInvalid, match="already"):
        make_pool(place.settings, wishes, lambda _: None)


def test_a_pool_names_pictures_and_nobody_who_clicked_or_judged(
    place: Place, wishes: PoolWishes
) -> None:
    """It stays for ever: ids of images, and no actor, no judge, no picture that was asked by."""
    upload = UploadQuery(
        sha256="5" * 64, object=ObjectReference(bucket=BUCKET, key="i03", size_bytes=9)
    )
    anchor = f"q-{'5' * 32}"
    asked = {"anchor_id": anchor, "actor_id": "u-planted", "user_pseudonym": "u-planted"}
    for number in range(60, 70):
        place.sink([clicked(number, query=upload, **asked)], number)
    make_pool(place.settings, replace(wishes, by=ChosenBy.CLICKS, anchors=50), lambda _: None)
    stored = place.store.get(BUCKET, f"{PREFIX}p.json").decode()
    assert '"i07"' in stored
    assert not [told for told in ("u-planted", "ann", anchor, "5" * 64) if told in stored]


def test_a_pool_of_what_was_clicked_and_never_judged(place: Place, wishes: PoolWishes) -> None:
    """Most clicks first; what has a judgement, and what nobody asked by, are left out."""
    by_clicks = replace(wishes, by=ChosenBy.CLICKS, models=wishes.models[:1], anchors=50)
    made = make_pool(place.settings, by_clicks, lambda _: None)
    names = {anchor.anchor_id for anchor in made.anchors}
    assert "i00" not in names
    assert names <= set(NAMES[:20])
    assert [anchor.clicks for anchor in made.anchors] == [3] * len(made.anchors)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "../p"}, {"models": ("serving",)}, {"depth": 100, "models": ("serving",) * 3}],
)
def test_what_makes_no_pool_is_refused(wishes: PoolWishes, wrong: dict[str, Any]) -> None:
    """Before anything is read."""
    with pytest.raises(SettingsInvalid):
        make_pool(Settings(), replace(wishes, **wrong), lambda _: None)


def test_an_order_is_the_judge_s_own() -> None:
    """The same again, another for another judge, and the same images."""
    anchor = PooledAnchor(anchor_id="a", images=NAMES, disagreement=0.0)
    made_at = datetime.fromtimestamp(0, UTC)
    pool = Pool(name="p", made_at=made_at, models=("m",), depth=24, seed=1, anchors=(anchor,))
    orders = [shown_to(pool, anchor, judge) for judge in ("ann", "ann", "bob")]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == list(NAMES)


def test_the_commands_say_what_they_found(place: Place, wishes: PoolWishes) -> None:
    """A pool is made and graded; then agreement is told, of it and of everything."""
    models = [word for model in wishes.models for word in ("--model", model)]
    run = CliRunner().invoke(app, ["judgements", "pool", "mine", *models, "--depth", "4"])
    assert run.exit_code == 0, run.output
    pairs = load_pool(place.store, BUCKET, "mine").pairs[:12]
    for number, (anchor, image) in enumerate(pairs):
        for judge in ("k~ann", "k~bob"):
            place.judge(anchor, image, number % 6, judge)
    of_pool = CliRunner().invoke(app, ["judgements", "agreement", "mine"]).output.splitlines()
    assert of_pool == [
        "12 graded by 2 judges, 12 by several",
        "weighted kappa 1.000",
        "      12 by k~ann and k~bob: 1.000",
    ]
    of_all = CliRunner().invoke(app, ["judgements", "agreement"]).output
    assert of_all.startswith("13 graded by 3 judges, 12 by several")
    with pytest.raises(NotFound):
        judgements.agreement(place.settings, "other")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (name, option)
        for name, command in GROUP.commands["judgements"].commands.items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    ],
)
def test_every_option_is_documented(command: str, option: str) -> None:
    """docs/grading.md has a line for each."""
    assert f"`sightline judgements {command}" in PAGE
    assert f"| `{option}` |" in PAGE
