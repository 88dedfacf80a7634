"""Training a head: it learns, equal seeds give equal bytes, and a kill changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from sightline.engine.embedding.projections import Projection
from sightline.engine.errors import SettingsInvalid
from sightline.training.evaluation.relevance import EqualLabels
from sightline.training.evaluation.retrieval import score_queries
from sightline.training.loop.adamw import Adapted
from sightline.training.loop.batches import Batches
from sightline.training.loop.checkpoint import Checkpoint
from sightline.training.loop.settings import Activation, HeadSettings
from sightline.training.loop.training import Trained, train_head
from tests.learning import World, clicked, world

SETTINGS = HeadSettings(steps=30, batch=32, corpus=16, learning_rate=1e-2, checkpoint_every=10)


@pytest.fixture(scope="module")
def seen() -> World:
    """Eight kinds of pictures, and clicks on them."""
    return world()


def trained(seen: World, checkpoint: Path | None = None, **changes: Any) -> Trained:
    """Train with a few of the settings changed."""
    settings = replace(SETTINGS, **changes)
    return train_head(seen.pairs, seen.features, seen.start, settings, checkpoint=checkpoint)


def saved(result: Trained, folder: Path) -> bytes:
    """The bytes of the head's file."""
    result.head.save(folder / "head.safetensors")
    return (folder / "head.safetensors").read_bytes()


def quality(seen: World, projection: Projection) -> float:
    """Mean average precision of every picture among all."""
    vectors = projection(seen.features.features)
    kinds = [str(kind) for kind in seen.kinds]
    return score_queries(vectors, vectors, EqualLabels.of(kinds, kinds)).means()["mAP"]


def test_clicks_make_a_better_space(seen: World) -> None:
    """Whitening is better than the start, what was learnt is better still, and half is between."""
    head = trained(seen).head
    start, base, half, whole = (
        quality(seen, projection)
        for projection in (seen.start, *(head.ungated(s) for s in (0.0, 0.5, 1.0)))
    )
    assert start + 0.05 < base < half < whole


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", get_args(Activation))
def test_hidden_layers_teach_a_linear_head(seen: World, depth: int, name: Activation) -> None:
    """It is better than whitening, and another than each other depth and activation teaches."""
    head = trained(seen, depth=depth, activation=name).head
    base, whole = (quality(seen, head.ungated(strength)) for strength in (0.0, 1.0))
    assert base + 0.02 < whole
    other = trained(seen, depth=depth, activation="tanh" if name == "relu" else "relu").head
    assert not np.allclose(head.change, other.change, atol=1e-3)


@pytest.mark.parametrize(("balance", "same"), [(1.0, True), (0.0, False)])
def test_a_pair_whitens_as_often_as_it_is_drawn(seen: World, balance: float, *, same: bool) -> None:
    """Clicks that one anchor has three times over change nothing where each anchor counts alike."""
    hot = np.flatnonzero(seen.pairs.anchor == seen.pairs.anchor[0])
    rows = np.concatenate([np.arange(len(seen.pairs)), hot, hot])
    more = replace(seen, pairs=seen.pairs.chosen(rows))
    once, thrice = (trained(each, steps=0, balance=balance).head.base for each in (seen, more))
    assert np.allclose(once, thrice, rtol=1e-4) == same


def test_the_loss_falls(seen: World) -> None:
    """The curve has a point for each step, and says how many negatives were masked."""
    curve = trained(seen).curve
    assert curve.losses.shape == curve.masked.shape == (30,)
    assert curve.losses[-5:].mean() < curve.losses[:5].mean() - 0.1
    near = trained(seen, click_mask=True).curve
    assert curve.masked.mean() < 0.05 < near.masked.mean() < 0.5


def test_equal_seeds_give_equal_bytes(seen: World, tmp_path: Path) -> None:
    """And another seed others."""
    once, again = (saved(trained(seen), tmp_path) for _ in range(2))
    assert once == again
    assert len({saved(trained(seen, depth=2), tmp_path) for _ in range(2)}) == 1
    assert saved(trained(seen, seed=1), tmp_path) != once


@pytest.mark.parametrize(("killed_after", "depth"), [(10, 0), (20, 0), (30, 0), (10, 2), (30, 2)])
def test_a_training_goes_on_from_its_checkpoint(
    seen: World, killed_after: int, depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written last, the head and the curve are those of a training undisturbed."""
    whole, path = trained(seen, depth=depth), tmp_path / "checkpoint"

    class KilledError(Exception):
        pass

    class Dying(Checkpoint):
        def save(self, path: Path, *, inputs: str) -> None:
            Checkpoint.save(self, path, inputs=inputs)
            if self.steps >= killed_after:
                raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("sightline.training.loop.steps.Checkpoint", Dying)
        with pytest.raises(KilledError):
            trained(seen, path, depth=depth)
    resumed = trained(seen, path, depth=depth)
    assert saved(resumed, tmp_path) == saved(whole, tmp_path)
    assert np.array_equal(resumed.curve.losses, whole.curve.losses)
    assert np.array_equal(resumed.curve.masked, whole.curve.masked)
    assert [entry.name for entry in tmp_path.glob("checkpoint*")] == ["checkpoint"]


def test_the_number_of_threads_changes_no_bit(seen: World, tmp_path: Path) -> None:
    """Steps keep to one, and the caller's setting is as before."""
    before = torch.get_num_threads()
    once = [saved(trained(seen, depth=depth), tmp_path) for depth in (0, 2)]
    torch.set_num_threads(before + 1)
    assert [saved(trained(seen, depth=depth), tmp_path) for depth in (0, 2)] == once
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


def test_steps_that_are_done_are_not_done_again(
    seen: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished training's checkpoint gives its head at once."""
    once = trained(seen, tmp_path / "checkpoint")
    monkeypatch.setattr(Batches, "draw", None)
    again = trained(seen, tmp_path / "checkpoint")
    assert np.array_equal(once.head.change, again.head.change)


def test_a_checkpoint_of_another_training_is_refused(seen: World, tmp_path: Path) -> None:
    """Other settings, other data, or bytes that are no checkpoint: it says what to do."""
    path = tmp_path / "checkpoint"
    trained(seen, path, steps=10)
    with pytest.raises(SettingsInvalid, match="remove it"):
        trained(seen, path, steps=20)
    other = replace(seen, pairs=seen.pairs.chosen(np.arange(50)))
    with pytest.raises(SettingsInvalid, match="remove it"):
        trained(other, path, steps=10)
    path.write_bytes(b"nonsense")
    with pytest.raises(SettingsInvalid, match="remove it"):
        trained(seen, path)


def test_pairs_without_pictures_are_left_out(seen: World) -> None:
    """They are counted; and where none is left, that is said."""
    pictures = seen.features.chosen(seen.features.lookup(seen.features.images[:40]))
    result = train_head(seen.pairs, pictures, seen.start, replace(SETTINGS, steps=1))
    assert result.pairs == np.count_nonzero((seen.pairs.anchor < 40) & (seen.pairs.positive < 40))
    with pytest.raises(SettingsInvalid, match="nothing to train on"):
        train_head(seen.pairs, pictures.chosen(np.arange(1)), seen.start, SETTINGS)


def test_a_start_of_other_features_is_refused(seen: World) -> None:
    """A projection belongs to one network's features."""
    wrong = Projection(np.zeros(5, np.float32), np.zeros((5, 3), np.float32))
    with pytest.raises(SettingsInvalid, match="takes 5 features"):
        train_head(seen.pairs, seen.features, wrong, SETTINGS)


def test_few_pairs_take_few_steps() -> None:
    """Unless so many are asked for."""
    assert [HeadSettings().steps_for(count) for count in (1, 1999, 2000)] == [100, 100, 200]
    assert HeadSettings(steps=7).steps_for(1) == 7


@pytest.mark.parametrize(
    "wrong",
    [
        *({"batch": 0}, {"steps": -1}, {"temperature": 0.0}, {"balance": 1.5}, {"mined": -1}),
        *({"depth": -1}, {"activation": "swish"}),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """The message names the one that is wrong."""
    with pytest.raises(SettingsInvalid, match=next(iter(wrong))):
        HeadSettings(**wrong)


def test_nothing_learnt_is_the_start() -> None:
    """Without whitening and steps the projection is the start's own, bit for bit."""
    seen = world(clicks=5)
    head = trained(replace(seen, pairs=clicked(seen.features.images, np.array([[0, 1]]))),
                   steps=0, whitening=False).head  # fmt: skip
    assert np.array_equal(head.ungated(1.0).matrix, seen.start.matrix)


def test_a_step_is_that_of_the_paper() -> None:
    """Three steps of AdamW, number by number, in double precision."""
    drawn = np.random.default_rng(4)
    weights, gradients = drawn.normal(size=4), drawn.normal(size=(3, 4))
    zeros = torch.zeros(4, dtype=torch.float64)
    adapted = Adapted(torch.from_numpy(weights), zeros, zeros)
    first, second, expected = [0.0] * 4, [0.0] * 4, weights.tolist()
    for step, rate in enumerate((0.1, 0.05, 0.01)):
        gradient = torch.from_numpy(gradients[step])
        adapted = adapted.after(gradient, step=step, rate=rate)
        for at, slope in enumerate(gradients[step].tolist()):
            first[at] = 0.9 * first[at] + 0.1 * slope
            second[at] = 0.999 * second[at] + 0.001 * slope**2
            mean, square = (
                first[at] / (1 - 0.9 ** (step + 1)),
                second[at] / (1 - 0.999 ** (step + 1)),
            )
            expected[at] -= rate * (mean / (square**0.5 + 1e-8) + 0.01 * expected[at])
    assert adapted.weights.numpy() == pytest.approx(expected, rel=1e-12)
