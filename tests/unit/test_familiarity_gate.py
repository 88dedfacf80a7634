"""A projection behind a familiarity gate: what it gives, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sightline.engine.embedding.model_files import model_source
from sightline.engine.embedding.projections import (
    FamiliarityGate,
    Features,
    GatedProjection,
    Projection,
    Tensors,
    load_linear,
    load_projection,
    project_all,
    projection_bytes,
    unit_rows,
)
from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import EmbedderSettings
from sightline.training.loop.head import Head

WIDTH, DIMENSIONS, CENTROIDS = 24, 10, 5


def drawn(
    width: int = WIDTH, dimensions: int = DIMENSIONS, rows: int = 40
) -> tuple[GatedProjection, Features]:
    """A gated projection of random numbers, half open to some of these features."""
    random = np.random.default_rng(5)

    def numbers(*shape: int) -> Features:
        return random.normal(size=shape).astype(np.float32)

    gate = FamiliarityGate(
        numbers(width, dimensions), unit_rows(numbers(CENTROIDS, dimensions)), 20.0, 0.375
    )
    return GatedProjection(numbers(width), numbers(width, dimensions), gate), numbers(rows, width)


def slowly(gated: GatedProjection, picture: Features) -> np.ndarray:
    """The definition, number by number in double precision."""
    gate, centred = gated.gate, picture.astype(np.float64) - gated.mean
    old = np.array([sum(centred * column) for column in gate.old.T.astype(np.float64)])
    length = np.sqrt(sum(old**2))
    nearest = max(sum(old * centroid) / length for centroid in gate.centroids.astype(np.float64))
    share = 1 / (1 + np.exp(-gate.steepness * (nearest - gate.middle)))
    vector: np.ndarray = centred @ (gate.old + share * gated.change.astype(np.float64))
    return vector


def test_a_picture_takes_so_much_of_the_change_as_it_is_familiar() -> None:
    """By the definition, row by row as it is served and in blocks as it is evaluated."""
    gated, features = drawn()
    wanted = np.stack([slowly(gated, each) for each in features])
    shares = gated.gate.share(Projection(gated.mean, gated.gate.old)(features))
    assert shares.min() < 0.1
    assert shares.max() > 0.9
    for made in (gated(features), project_all(gated, features)):
        assert made.dtype == np.float32
        assert np.allclose(made, wanted, atol=2e-4)


def test_unlike_pictures_keep_their_old_vectors_and_like_ones_move() -> None:
    """Bit by bit, where a picture is unlike enough; a clicked one takes nearly all."""
    gated, _ = drawn(width=DIMENSIONS)
    one = np.eye(DIMENSIONS, dtype=np.float32)
    gated = replace(gated, gate=replace(gated.gate, old=one, centroids=one[:1]))
    like, unlike = gated.mean + one[:1], gated.mean - one[:1]
    old, new = Projection(gated.mean, one), Projection(gated.mean, one + gated.change)
    assert np.array_equal(gated(unlike), old(unlike))
    assert np.allclose(gated(like), new(like), atol=1e-4)
    assert not np.allclose(gated(like), old(like), atol=0.1)


@pytest.mark.parametrize("dimensions", [DIMENSIONS, 512])
def test_batching_changes_no_bit(dimensions: int) -> None:
    """Alone or in company a picture gets the same vector; without any there are none."""
    gated, features = drawn(1280, dimensions, rows=16)
    alone = np.concatenate([gated(each[None]) for each in features])
    assert np.array_equal(gated(features), alone)
    assert gated(features[:0]).shape == project_all(gated, features[:0]).shape == (0, dimensions)


def test_a_file_keeps_it_and_names_it(tmp_path: Path) -> None:
    """The same vectors and bytes again; another number of the gate is another model."""
    (gated, features), file = drawn(), tmp_path / "projection.safetensors"
    digests = set()
    for middle in (0.375, 0.5):
        kept = replace(gated, gate=replace(gated.gate, middle=middle))
        file.write_bytes(projection_bytes(kept))
        read = load_projection(file)
        assert isinstance(read, GatedProjection)
        assert np.array_equal(read(features), kept(features))
        assert projection_bytes(read) == file.read_bytes()
        source = model_source(EmbedderSettings(projection=file))
        digests.add(source.digest(precision="fp32", runtime="openvino"))
    assert len(digests) == 2
    with pytest.raises(SettingsInvalid, match="familiarity gate"):
        load_linear(file)


def test_a_reader_that_knows_of_no_gate_finds_nothing_to_read(tmp_path: Path) -> None:
    """It looked for `matrix` in a projection's file, for `change` in a head's, and only there."""
    gated, _ = drawn()
    (tmp_path / "projection").write_bytes(projection_bytes(gated))
    head = Head(mean=gated.mean, base=gated.gate.old, change=gated.change, gate=gated.gate)
    head.save(tmp_path / "head")
    for file in ("projection", "head"):
        assert not {"matrix", "change"} & load_file(tmp_path / file).keys()


Changed = Callable[[Tensors], Tensors]
OTHERS: dict[str, Changed] = {
    "one more": lambda tensors: {**tensors, "familiar.more": np.ones(1, np.float32)},
    "both kinds": lambda tensors: {**tensors, "matrix": tensors["familiar.old"]},
    "no centroids": lambda tensors: {k: v for k, v in tensors.items() if "centroids" not in k},
    "none of them": lambda tensors: {**tensors, "familiar.centroids": np.ones((0, 10), "f")},
    "of another width": lambda tensors: {**tensors, "familiar.centroids": np.ones((5, 9), "f")},
    "another old space": lambda tensors: {**tensors, "familiar.old": np.ones((24, 9), "f")},
    "fewer features": lambda tensors: {**tensors, "familiar.old": np.ones((23, 10), "f")},
    "one number": lambda tensors: {**tensors, "familiar.curve": np.ones(1, np.float32)},
    "no number": lambda tensors: {**tensors, "familiar.curve": np.full(2, np.nan, "f")},
    "a cube": lambda tensors: {k: v[..., None] for k, v in tensors.items()},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_a_file_of_other_tensors_is_refused(tmp_path: Path, changed: Changed) -> None:
    """A projection's and a head's: whatever is not known may mean another space."""
    gated, _ = drawn()
    head = Head(mean=gated.mean, base=gated.gate.old, change=gated.change, gate=gated.gate)
    file = tmp_path / "odd.safetensors"
    head.save(file)
    save_file(changed(load_file(file)), file)
    with pytest.raises(SettingsInvalid, match="no head"):
        Head.load(file)
    save_file(changed(gated.tensors()), file)
    with pytest.raises(SettingsInvalid, match=r"embedder\.projection"):
        load_projection(file)


@pytest.mark.parametrize("strength", [0.0, 0.35, 1.0])
def test_a_gated_head_walks_from_the_old_space(tmp_path: Path, strength: float) -> None:
    """The gate opens the whole way to what the head is at a strength, and its file keeps it."""
    gated, features = drawn()
    base = gated.gate.old + np.float32(0.5)
    head = Head(mean=gated.mean, base=base, change=gated.change, gate=gated.gate)
    head.save(tmp_path / "head")
    made = Head.load(tmp_path / "head").projection(strength)
    assert isinstance(made, GatedProjection)
    assert np.array_equal(made(features), head.projection(strength)(features))
    old = Projection(gated.mean, gated.gate.old)(features)
    share = gated.gate.share(old)[:, None]
    wanted = old + share * (head.ungated(strength)(features) - old)
    assert np.allclose(made(features), wanted, atol=1e-3)
