"""Features as few bytes: how far what comes back may be from what went in."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.engine.records import GenerationSpec
from sightline.engine.vector_index.packed_features import Floats, Packing

COUNT = 63
BITS = (4, 8, 16)


def drawn(rows: int = 40, *, signed: bool = False) -> Floats:
    """Features like those of a ReLU network, or of one whose activations may be negative."""
    random = np.random.default_rng(5)
    features = random.gamma(0.4, size=(rows, COUNT)) * 10.0 ** random.integers(-3, 4, (rows, 1))
    shifted = features - (features.mean(axis=1, keepdims=True) if signed else 0)
    return shifted.astype(np.float32)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("signed", [False, True])
def test_features_come_back_to_half_a_step(bits: int, *, signed: bool) -> None:
    """And what float32 rounds: a step is the greatest number by the codes of one sign."""
    features, packing = drawn(signed=signed), Packing(COUNT, bits)
    back = packing.unpack(packing.pack(features))
    codes = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    step = np.abs(features).max(axis=1, keepdims=True) / codes
    assert back.dtype == np.float32
    assert (np.abs(back - features) <= step * 0.51).all()


@pytest.mark.parametrize(("bits", "width"), [(4, 36), (8, 67), (16, 130)])
def test_a_row_has_its_codes_and_a_scale(bits: int, width: int) -> None:
    """1,284 bytes for the default model's 1,280 features at 8 bits; an odd half byte is filled."""
    assert Packing(COUNT, bits).width == width
    assert Packing(COUNT, bits).pack(drawn(3)).shape == (3, width)
    assert Packing(1_280, 8).width == 1_284


def test_one_negative_feature_costs_no_other_row_a_bit() -> None:
    """Whether a row is signed is the row's own affair, so that batching changes nothing."""
    features, packing = drawn(), Packing(COUNT, 8)
    mixed = features.copy()
    mixed[3, 0] = -1.0
    rows, others = packing.pack(mixed), packing.pack(features)
    assert np.array_equal(np.delete(rows, 3, axis=0), np.delete(others, 3, axis=0))
    assert np.array_equal(packing.pack(mixed[3:4]), rows[3:4])
    assert packing.unpack(rows)[3, 0] < 0


@pytest.mark.parametrize("bits", BITS)
def test_what_hardly_differs_from_nothing_comes_back_as_about_nothing(bits: int) -> None:
    """Zeros, the smallest numbers there are, and great ones."""
    packing = Packing(COUNT, bits)
    features = np.zeros((4, COUNT), np.float32)
    features[1, 0], features[2, 5] = 1e-45, -1e-45
    features[3, 1] = 1e38
    back = packing.unpack(packing.pack(features))
    assert np.abs(back[:3]).max() < 1e-36
    assert back[3] == pytest.approx(features[3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_finite_number_is_refused(bad: float) -> None:
    """It would make its whole row nothing, and say so to nobody."""
    features = drawn(2)
    features[1, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        Packing(COUNT, 8).pack(features)


def test_rows_of_another_packing_are_refused() -> None:
    """They would be read as other numbers."""
    rows = Packing(COUNT, 8).pack(drawn(2))
    for other in (Packing(COUNT, 4), Packing(COUNT - 1, 8)):
        with pytest.raises(ValueError, match="packed features must be"):
            other.unpack(rows)
        with pytest.raises(ValueError, match="packed features must be"):
            other.unpack(rows.astype(np.float32))
    with pytest.raises(ValueError, match="expected"):
        Packing(COUNT - 1, 8).pack(drawn(2))


def test_no_rows_are_fine() -> None:
    """An empty batch gives an empty one."""
    packing = Packing(COUNT, 8)
    assert packing.pack(drawn(0)).shape == (0, packing.width)
    assert packing.unpack(packing.pack(drawn(0))).shape == (0, COUNT)


def test_a_generation_says_how_it_packs() -> None:
    """Or that it keeps none."""
    bare = GenerationSpec(name="g", model_digest="m", preprocess_digest="p", dimensions=8)
    assert Packing.of(bare) is None
    kept = GenerationSpec(
        name="g",
        model_digest="m",
        preprocess_digest="p",
        dimensions=8,
        features_digest="f",
        features=COUNT,
        feature_bits=4,
    )
    assert Packing.of(kept) == Packing(COUNT, 4)
