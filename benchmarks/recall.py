"""Recall@24 of the shipped index settings to exact: on photographs, and on 50,000 drawn vectors.

How the scale-up is drawn and measured: `index_recall.py`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks import index_recall
from benchmarks.harness import Figure, Size, ratio
from benchmarks.processes import pool
from benchmarks.stack import photo_bytes
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.pictures.prepare import prepare
from sightline.engine.records import GenerationSpec
from sightline.engine.settings import IndexSettings, Settings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex

_WAIT_S = 600.0
_OPTIMISE_AFTER = 1_000
"""So that the photographs, too few for one by default, are searched through a graph too."""


def measure(size: Size) -> list[Figure]:
    """On the photographs with and without a graph, then on the synthetic scale-up."""
    settings = Settings()
    vectors = photo_vectors(settings, size.of(4_403, 60))
    queries = vectors[:: size.of(11, 6)]
    shipped = settings.index
    with_graph = shipped.model_copy(update={"optimise_after": _OPTIMISE_AFTER})
    with pool(1) as processes:
        scaled = processes.apply(index_recall.measure, (size.of(50_000, 300), size.of(200, 5)))
    return [
        *_on_photos("shipped settings", shipped, vectors, queries),
        *_on_photos("with a graph", with_graph, vectors, queries),
        *index_recall.figures(*scaled),
    ]


def photo_vectors(settings: Settings, count: int) -> NDArray[np.float32]:
    """Embeddings of the photos, (count, dimensions)."""
    embedder = open_embedder(settings.embedder)

    def embed(picture: bytes) -> NDArray[np.float32]:
        crop = prepare(picture, limits=settings.decode, framing=embedder.framing).crop
        return embedder.embed(crop[None]).reshape(-1)

    with TemporaryDirectory() as scratch, ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(embed, photo_bytes(count, Path(scratch)))))


def _on_photos(
    name: str, settings: IndexSettings, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> list[Figure]:
    spec = GenerationSpec(
        name="recall", model_digest="m", preprocess_digest="p", dimensions=vectors.shape[1]
    )
    with TemporaryDirectory(prefix="sightline-recall-") as directory:
        index = EdgeVectorIndex.open(Path(directory), spec, settings)
        with closing(index):
            for start in range(0, len(vectors), index_recall.BATCH):
                stop = min(len(vectors), start + index_recall.BATCH)
                index.apply([index_recall.indexed(n, vectors[n]) for n in range(start, stop)])
            index.flush()
            if not index.wait_optimised(_WAIT_S):
                raise TimeoutError(f"the optimiser did not become idle within {_WAIT_S:.0f} s")
            asked = [
                index_recall.ask(index, len(vectors), kind, queries)
                for kind in index_recall.FILTERS
            ]
    return [
        ratio(
            f"recall@{index_recall.PAGE} to exact, {m.points:,} photos, {name}, {m.name}",
            m.recall,
            at_least=0.99,
            detail=f"{len(queries)} queries; p50 {m.p50_ms:.2f} ms, exact {m.exact_p50_ms:.2f} ms",
        )
        for m in asked
    ]
