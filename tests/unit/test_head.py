"""A trained head: its projections and its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sightline.engine.embedding.projections import Projection
from sightline.engine.errors import SettingsInvalid
from sightline.training.loop.head import Head


@pytest.fixture
def head() -> Head:
    """Six features to three dimensions."""
    drawn = np.random.default_rng(0)
    return Head(
        mean=drawn.normal(size=6).astype(np.float32),
        base=drawn.normal(size=(6, 3)).astype(np.float32),
        change=drawn.normal(size=(6, 3)).astype(np.float32),
    )


@pytest.mark.parametrize("strength", [0.0, 0.35, 1.0])
def test_a_strength_lies_between_the_base_and_what_was_learnt(head: Head, strength: float) -> None:
    """As the sum is written: R + s D."""
    projection = head.projection(strength)
    assert isinstance(projection, Projection)
    expected = head.base + strength * head.change
    assert np.allclose(projection.matrix, expected, atol=1e-6)
    assert np.array_equal(projection.mean, head.mean)


def test_a_residual_changes_the_base_by_itself(head: Head) -> None:
    """What training learns: R (I + s A)."""
    residual = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    matrix = Head.of(head.mean, head.base, residual).ungated(0.35).matrix
    assert np.allclose(matrix, head.base @ (np.eye(3) + 0.35 * residual), atol=1e-6)


def test_the_base_comes_back_bit_for_bit(head: Head) -> None:
    """Nothing learnt is nothing changed."""
    assert np.array_equal(head.ungated(0).matrix, head.base)


def test_a_file_keeps_a_head_and_its_bytes(head: Head, tmp_path: Path) -> None:
    """Saved, loaded and saved again: the same bytes, and no draft beside them."""
    head.save(tmp_path / "head.safetensors")
    again = Head.load(tmp_path / "head.safetensors")
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "head.safetensors"
    ).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.safetensors",
        "head.safetensors",
    ]


def test_another_file_is_refused(head: Head, tmp_path: Path) -> None:
    """It says what was found: no file, no head, or shapes that do not fit together."""
    path = tmp_path / "other.safetensors"
    with pytest.raises(SettingsInvalid, match="no head"):
        Head.load(path)
    save_file({"mean": head.mean, "matrix": head.base}, path)
    with pytest.raises(SettingsInvalid, match="no head"):
        Head.load(path)
    save_file(
        {"mean": head.mean, "base": head.base, "change": head.change, "gate": head.mean}, path
    )
    with pytest.raises(SettingsInvalid, match="no head"):
        Head.load(path)
    for wrong in (head.change[:2], head.base[0]):
        save_file({"mean": head.mean, "base": head.base, "change": wrong}, path)
        with pytest.raises(SettingsInvalid, match="change"):
            Head.load(path)


def test_a_head_of_odd_numbers_is_refused(head: Head, tmp_path: Path) -> None:
    """What is learnt of it, or released at any strength, would be no vector."""
    path = tmp_path / "odd.safetensors"
    parts = {"mean": head.mean, "base": head.base, "change": head.change}
    cube = np.stack([head.base] * 2, axis=2)
    for name, odd in {
        "base": cube,
        "mean": head.mean * np.nan,
        "change": head.change * np.inf,
    }.items():
        save_file(parts | {name: odd}, path)
        with pytest.raises(SettingsInvalid, match="no head"):
            Head.load(path)
    huge = Head(mean=head.mean, base=head.base * np.float32(1e38), change=head.change)
    assert np.isfinite(huge.ungated(0).matrix).all()
    with pytest.raises(SettingsInvalid, match="float32"):
        replace(huge, change=np.sign(huge.base) * np.float32(3e38)).projection(1)
