"""The fakes that the worker is tried with keep the contracts of what they stand for."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np

from sightline.engine.ports import Embedder, VectorIndex
from sightline.engine.records import ImageStage, WinnerLocation
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from tests.indexed_images import SPEC, Kind, image, query
from tests.worker_parts import SIZE, TinyEmbedder

Kept = dict[str, tuple[object, ...]]


def test_the_index_in_memory_keeps_what_the_embedded_one_keeps(tmp_path: Path) -> None:
    """The same writes and moves in any order leave the same images, listed or not."""
    rng = Random(20_261_121)
    with closing(EdgeVectorIndex.open(tmp_path / "index", SPEC, IndexSettings())) as real:
        indexes: tuple[VectorIndex, ...] = (real, MemoryVectorIndex(SPEC))
        for _ in range(60):
            writes = [
                image(
                    f"i{rng.randrange(4)}",
                    rng.randrange(5),
                    rng.choice(list(Kind)),
                    stage=rng.choice(list(ImageStage)),
                )
                for _ in range(rng.randrange(1, 6))
            ]
            place = WinnerLocation("images.v1", 0, rng.randrange(100))
            moved = [image(w.image_id, w.version, winner=place) for w in writes[:1]]
            for index in indexes:
                index.apply(writes)
                index.relocate(moved)
            assert kept(indexes[0]) == kept(indexes[1])
        found = [[hit.image.image_id for hit in i.search(query(limit=9))] for i in indexes]
        assert found[0] == found[1]


def kept(index: VectorIndex) -> Kept:
    """What decides about an image."""
    return {
        i.image_id: (i.fence, i.outcome, i.winner, i.event_id, i.state)
        for i in index.get([f"i{number}" for number in range(4)]).values()
    }


def test_the_tiny_embedder_gives_unit_vectors_whatever_the_batch() -> None:
    """As every embedder must: length one, and the same alone as in company."""
    embedder: Embedder = TinyEmbedder()
    crops = np.random.default_rng(1).integers(0, 256, (9, SIZE, SIZE, 3)).astype(np.uint8)
    together = embedder.embed(crops)
    alone = np.concatenate([embedder.embed(crop[None]) for crop in crops])
    assert together.shape == (9, embedder.dimensions)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert np.array_equal(together, alone)
