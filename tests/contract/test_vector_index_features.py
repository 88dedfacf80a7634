"""What the network saw is kept beside the vector: written, fenced and removed with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.engine.ports import VectorIndex
from sightline.engine.records import ImageStage, IndexedImage, Sight
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.engine.vector_index.generations import open_serving
from sightline.engine.vector_index.packed_features import Packing
from tests.index_deployments import Deployment
from tests.indexed_images import SPEC, Kind, decision, image, query, same_image, unit_vector

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

KEEPING = replace(SPEC, features_digest="seen", features=5, feature_bits=8)
WIDTH = 9


def row(seed: int) -> NDArray[np.uint8]:
    """Packed features that depend on the seed alone; every byte may be anything."""
    return np.random.default_rng(seed).integers(0, 256, WIDTH, np.uint8)


def seen(image_id: str = "i", version: int = 1, kind: Kind = Kind.PUBLIC) -> IndexedImage:
    """An image with its features."""
    return image(image_id, version, kind, features=row(version))


@pytest.fixture
def keeping(deployment: Deployment) -> Iterator[VectorIndex]:
    """An empty index that keeps features, of each adapter in turn."""
    with closing(deployment.open(KEEPING)) as opened:
        yield opened


def kept(index: VectorIndex, image_id: str = "i") -> list[int] | None:
    """The stored features of an image."""
    features = index.get([image_id], features=True)[image_id].features
    return None if features is None else features.tolist()


def test_features_come_back_as_they_were_written(keeping: VectorIndex) -> None:
    """By id, in a scan and under a sight, with vectors or without, and only when asked for."""
    stored = {f"i{n}": seen(f"i{n}", n + 1, list(Kind)[n % len(Kind)]) for n in range(40)}
    keeping.apply(list(stored.values()))
    everything = Sight(listed=True)
    for vectors in (False, True):
        wanted = {n: i if vectors else replace(i, vector=None) for n, i in stored.items()}
        got = keeping.get(stored, vectors=vectors, features=True)
        assert all(same_image(got[name], wanted[name]) for name in stored)
        scanned = list(keeping.scan(vectors=vectors, features=True, batch=7))
        assert len(scanned) == len(stored)
        assert all(same_image(one, wanted[one.image_id]) for one in scanned)
        listed = keeping.get(stored, vectors=vectors, features=True, sight=everything)
        assert listed
        assert all(same_image(one, wanted[name]) for name, one in listed.items())
        bare = [*keeping.get(stored, vectors=vectors).values(), *keeping.scan(vectors=vectors)]
        assert all(one.features is None for one in bare)


def test_searches_are_the_same_beside_features(keeping: VectorIndex) -> None:
    """They look at vectors only: scores are cosines, hidden images stay hidden."""
    images = [image(f"i{n}", vector=unit_vector(n), features=row(n)) for n in range(50)]
    keeping.apply([*images, image("hidden", kind=Kind.PRIVATE, features=row(1))])
    wanted = unit_vector(7)
    truth = {i.image_id: float(i.vector @ wanted) for i in images if i.vector is not None}
    for exact in (False, True):
        hits = keeping.search(query(wanted, exact=exact))
        assert [hit.image.image_id for hit in hits] == sorted(truth, key=lambda n: -truth[n])[:24]
        assert [hit.score for hit in hits] == pytest.approx(sorted(truth.values())[:-25:-1])
    assert keeping.count(listed_only=True) == 50


def test_features_obey_the_fence(keeping: VectorIndex) -> None:
    """A stale write changes none; a fresh one replaces them, or leaves none."""
    keeping.apply([seen("i", 5)])
    keeping.apply([seen("i", 4), seen("i", 5), image("i", 3)])
    assert kept(keeping) == row(5).tolist()
    keeping.apply([seen("i", 6, Kind.PRIVATE)])
    assert kept(keeping) == row(6).tolist()
    keeping.moderate([decision("i")])
    assert kept(keeping) == row(6).tolist(), "a decision leaves them"
    keeping.apply([image("i", 7)])
    assert kept(keeping) is None


@pytest.mark.parametrize("kind", [Kind.DELETED, Kind.REJECTED])
def test_what_has_no_vector_has_no_features(keeping: VectorIndex, kind: Kind) -> None:
    """A delete and a rejection leave none; nor does what hides an image before its bytes came."""
    keeping.apply([seen("i", 1), seen("j", 1)])
    keeping.apply([image("i", 2, kind)])
    assert kept(keeping) is None
    hidden = image("j", 2, Kind.PRIVATE, stage=ImageStage.PROVISIONAL)
    keeping.apply([replace(hidden, vector=None)])
    assert kept(keeping, "j") is None
    assert [one.features is None for one in keeping.scan(features=True)] == [True, True]


def test_what_is_not_packed_as_the_generation_keeps_it_is_refused(keeping: VectorIndex) -> None:
    """Before anything is written: the stores would take a part of the batch."""
    bare = replace(image("bad"), vector=None)
    for bad in (
        image("bad", features=row(1)[:-1]),
        image("bad", features=row(1).astype(np.float32)),
        replace(bare, features=row(1)),
    ):
        with pytest.raises(ValueError, match="features"):
            keeping.apply([seen("good"), bad])
    assert keeping.count() == 0


def test_a_generation_without_features_opens_as_before(deployment: Deployment) -> None:
    """Under settings that would keep some: it says that it has none, and takes none."""
    generations = deployment.generations()
    generations.create(SPEC)
    generations.switch(SPEC.name)
    with closing(deployment.open(KEEPING)) as index:
        assert index.spec == SPEC
        assert Packing.of(index.spec) is None
        index.apply([image("i", tags=("a",))])
        assert same_image(
            index.get(["i"], vectors=True, features=True)["i"], image("i", tags=("a",))
        )
        assert [one.features for one in index.scan(features=True)] == [None]
        with pytest.raises(ValueError, match="keeps none"):
            index.apply([image("j", features=row(1))])
    generations.close()


def test_other_bits_open_what_was_made(deployment: Deployment) -> None:
    """What a generation keeps was decided when it was made."""
    generations = deployment.generations()
    generations.create(KEEPING)
    generations.switch(KEEPING.name)
    for other in (SPEC, replace(KEEPING, feature_bits=4)):
        with closing(open_serving(generations, other)) as index:
            assert index.spec == KEEPING
    generations.close()


def test_the_graph_is_built_over_vectors_only(tmp_path: Path) -> None:
    """Features outlive the optimised copy, are in no graph, and are not taken for vectors in it."""
    settings = IndexSettings(optimise_after=1_200)
    wide = replace(KEEPING, dimensions=256)
    with closing(EdgeVectorIndex.open(tmp_path, wide, settings)) as index:
        images = [
            image(f"i{n:04}", vector=unit_vector(n, 256), features=row(n)) for n in range(1_300)
        ]
        index.apply(images)
        assert index.wait_optimised(120)
        assert index.unindexed() == 0
        index.apply([image(f"j{n}", vector=unit_vector(n, 256), features=row(n)) for n in range(9)])
        assert index.unindexed() == 9
        back = index.get([one.image_id for one in images], vectors=True, features=True)
        assert all(same_image(one, back[one.image_id]) for one in images)
