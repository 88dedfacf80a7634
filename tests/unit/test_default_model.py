from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.engine.embedding.choice import open_embedder, open_runtime, read_head
from sightline.engine.embedding.embedder import Runtime
from sightline.engine.embedding.lite0 import read_lite0
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION, model_source
from sightline.engine.embedding.projections import load_linear
from sightline.engine.pictures.prepare import prepare
from sightline.engine.settings import DecodeSettings, EmbedderSettings
from sightline.training.models.default_projection import (
    DIMENSIONS,
    SEEDS,
    Directions,
    PhotoFeatures,
    directions,
    held_out_quality,
    held_out_third,
    photo_features,
    query_to_gallery,
    raw_quality,
    read_labelled_photos,
)
from tests.conftest import ROOT
from tests.nasty_files import TURNED, oriented_scenes
from tests.pictures import encoded


@dataclass(frozen=True, slots=True)
class Quality:
    """What the default model reaches on a collection of photos."""

    goal: float
    """Least mAP of the query photos among the gallery photos, in fp32 as in bf16."""
    fp32: float
    """The mAP that was measured in this precision."""
    bf16: float
    """The mAP that was measured in this precision."""
    noise: float
    """How far another processor's sums may be from what was measured."""
    least_gain: float
    """Of the projection on a third of the labels that had no part in it; less is noise."""


QUALITY = {
    1099: Quality(goal=0.438, fp32=0.4398, bf16=0.4411, noise=0.003, least_gain=-0.002),
    50: Quality(goal=0.480, fp32=0.4860, bf16=0.4918, noise=0.012, least_gain=-0.05),
}
"""By the number of query photos: the large collection, and that in `tests/data`. A third of the
labels is about 350 queries, whose mAP has a standard error of some .015, or 15 of some .07."""


@pytest.fixture(scope="module")
def axes() -> Directions:
    """The directions of the network's own classifier."""
    weights = model_source(EmbedderSettings()).weights
    assert weights is not None
    return directions(read_lite0(weights)["_fc.weight"].numpy())


def test_the_shipped_matrix_is_that_of_the_classifier(axes: Directions) -> None:
    """The directions in the package are made from the weights by the documented command."""
    shipped = load_linear(PACKAGED_PROJECTION)
    assert shipped.matrix.shape == (1280, DIMENSIONS)
    assert np.abs(shipped.matrix - axes.matrix()).max() < 1e-3
    assert PACKAGED_PROJECTION.stat().st_size < 3_000_000


@pytest.fixture(scope="module")
def runtime(networks: Path) -> Runtime:
    """Runs the default model's network as this machine does."""
    settings = EmbedderSettings()
    return open_runtime(model_source(settings), settings, cache=networks)


@pytest.fixture(scope="module")
def found(photos: Path, runtime: Runtime) -> PhotoFeatures:
    """All photos with what the default model's network says of them."""
    framing = model_source(EmbedderSettings()).framing
    return photo_features(read_labelled_photos(photos), runtime, framing)


def test_quality_on_the_photos(found: PhotoFeatures, runtime: Runtime) -> None:
    """Query photos searched among gallery photos: mAP as measured before, and above raw."""
    shipped = load_linear(PACKAGED_PROJECTION)
    quality = query_to_gallery(found, shipped.mean, shipped.matrix)
    mean = quality.means()["mAP"]
    expected = QUALITY[int(quality.able.sum())]
    wanted = expected.bf16 if runtime.precision == "bf16" else expected.fp32
    assert mean >= expected.goal
    assert mean == pytest.approx(wanted, abs=expected.noise)
    assert mean > raw_quality(found).means()["mAP"]


def test_quality_on_labels_that_had_no_part(found: PhotoFeatures, axes: Directions) -> None:
    """Made without a third of the labels, the projection is no worse than raw on that third."""
    results = [held_out_quality(found, axes, seed) for seed in SEEDS]
    gains = [result.projected - result.raw for result in results]
    assert np.mean(gains) > 0
    queries = int((found.splits == "query").sum())
    assert min(gains) > QUALITY[queries].least_gain


def test_orientations_embed_alike(nasty: Path, networks: Path) -> None:
    """One scene in several EXIF orientations gives nearly one vector; printed digits may differ."""
    embedder = open_embedder(EmbedderSettings(), cache=networks)
    head = read_head(EmbedderSettings())
    said = embedder.digest, embedder.features_digest
    assert (head.digest, head.features_digest) == said, "what is told without the network"
    for paths in oriented_scenes(nasty):
        crops = [
            prepare(path.read_bytes(), limits=DecodeSettings(), framing=embedder.framing).crop
            for path in paths
        ]
        vectors = embedder.embed(np.stack(crops))
        assert (vectors @ vectors.T).min() > 0.88


def test_stored_sideways_or_upright_is_the_same_picture(photos: Path, networks: Path) -> None:
    """All eight orientations of one photo, stored without loss, give one vector."""
    embedder = open_embedder(EmbedderSettings(), cache=networks)
    upright = Image.open(read_labelled_photos(photos)[0].path)
    crops = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned: Image.Image = upright
        if orientation in TURNED:
            turned = upright.transpose(Image.Transpose(TURNED[orientation]))
        data = encoded(turned, "PNG", exif=exif)
        crops.append(prepare(data, limits=DecodeSettings(), framing=embedder.framing).crop)
    vectors = embedder.embed(np.stack(crops))
    assert (vectors @ vectors.T).min() > 0.9999


def test_a_third_of_the_labels_of_each_domain_is_held_out() -> None:
    """Seeded, disjoint from the rest, some of every domain."""
    labels = [f"fruit/{n}" for n in range(9)] + ["shoes/left", "shoes/right"]
    third = held_out_third(labels, seed=1)
    assert third == held_out_third(labels, seed=1)
    assert sum(label.startswith("fruit") for label in third) == 3
    assert sum(label.startswith("shoes") for label in third) == 1


def test_held_out_labels_have_no_part_in_the_mean() -> None:
    """Moving the held-out photos moves only what is measured, not what is made."""
    random = np.random.default_rng(0)
    labels = np.repeat([f"fruit/{n}" for n in range(6)], 12)
    splits = np.tile(["train", "query", "gallery"], 24)
    features = random.random((72, 1280), dtype=np.float32)
    drawn = directions(random.standard_normal((1000, 1280)).astype(np.float32))
    third = held_out_third(labels.tolist(), seed=0)
    moved = features + np.isin(labels, third)[:, None].astype(np.float32)
    results = [
        held_out_quality(PhotoFeatures(labels, splits, given), drawn, seed=0)
        for given in (features, moved)
    ]
    assert results[0].exponent == results[1].exponent
    assert results[0].labels == 2
    assert results[0].queries == pytest.approx(8)


def test_the_model_card_describes_what_ships() -> None:
    """The card names the files by their hashes, and the digests that they give."""
    card = (ROOT / "docs/models/efficientnet_lite0.md").read_text()
    source = model_source(EmbedderSettings())
    assert source.weights_id in card
    assert str(source.projection_id) in card
    for runtime in ("openvino", "torch-eager", "torch-compiled", "cuda"):
        for precision in ("bf16", "fp32"):
            assert source.digest(precision=precision, runtime=runtime)[:8] in card
