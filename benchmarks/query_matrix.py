"""A matrix on the query alone, on the old vectors and graph: how much it finds, and what it gains.

Heads are those that clicks on photos teach the shipped model (`training.py`). Recall is that of an
index of the shipped model's vectors, asked by queries of the new one times the matrix, to an exact
scan by the same queries; as in a search, the index is asked for the page and results beyond it.
Gains are on query photos, of clicked labels and of others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.harness import Figure, Size, ratio
from benchmarks.index_recall import BATCH, FILTERS, PAGE, SEED, Measured, ask, indexed
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import PhotoSite, pairs_in, photo_site, photos_for
from benchmarks.processes import pool
from benchmarks.training import CAREFUL, GREEDY, MANY, NORMAL, RECORDS, RULES
from benchmarks.training import SEED as CLICKS_SEED
from sightline.engine.embedding.projections import Features, Projection, project_all
from sightline.engine.records import GenerationSpec
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.search_api.search.nearest import FURTHER
from sightline.training.loop.head import Head
from sightline.training.models.default_projection import held_out_third

STRENGTHS = (CAREFUL, NORMAL, GREEDY)
DRAWN = 100_000
THIRDS = 6
QUERIES = 200
NEIGHBOURS = 8
_GRAPH_FROM = 1_000
"""So that the photos, too few for one by default, are searched through a graph too."""
_WAIT_S = 1_800.0


def unit(vectors: NDArray[np.floating]) -> Features:
    """Rows of norm 1, as an index takes them."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def drawn(vectors: Features, count: int) -> Features:
    """Mixtures of vectors, (count, dimensions): between two neighbours, off their line as a third.

    Neighbours are among the 8 nearest by cosine, so that a drawn vector has near ones at the
    distances that the photos have.
    """
    random, near = np.random.default_rng(SEED), _neighbours(vectors)
    made = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, 10_000):
        some = made[start : start + 10_000]
        one, other = random.integers(len(vectors), size=(2, len(some)))
        by, off = (
            near[rows, random.integers(near.shape[1], size=len(some))] for rows in (one, other)
        )
        share = random.random((len(some), 1), np.float32)
        some[:] = vectors[one] + share * (vectors[by] - vectors[one])
        some += 0.5 * (vectors[off] - vectors[other])
    return made


def _neighbours(vectors: Features) -> NDArray[np.intp]:
    """(n, 8) rows of the nearest other vectors."""
    cosines = unit(vectors) @ unit(vectors).T
    np.fill_diagonal(cosines, -1.0)
    return np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]


def recalls(
    queries: Mapping[float | None, Features], vectors: Features, settings: IndexSettings
) -> dict[float | None, list[Measured]]:
    """By strength, one for each filter, once the graph is built.

    Args:
        queries: by strength, of norm 1.
        vectors: (n, dimensions) of the old model, of norm 1: what is indexed.
        settings: of the index.
    """
    spec = GenerationSpec(
        name="recall", model_digest="m", preprocess_digest="p", dimensions=vectors.shape[1]
    )
    with TemporaryDirectory(prefix="sightline-matrix-") as directory:
        index = EdgeVectorIndex.open(Path(directory), spec, settings)
        with closing(index):
            _fill(index, vectors)
            return {
                strength: [
                    ask(index, len(vectors), kind, asked, 0 if strength is None else FURTHER)
                    for kind in FILTERS
                ]
                for strength, asked in queries.items()
            }


def _fill(index: EdgeVectorIndex, vectors: Features) -> None:
    for start in range(0, len(vectors), BATCH):
        stop = min(len(vectors), start + BATCH)
        index.apply([indexed(n, vectors[n]) for n in range(start, stop)])
    index.flush()
    if not index.wait_optimised(_WAIT_S):
        raise TimeoutError(f"the optimiser did not become idle within {_WAIT_S:.0f} s")


@dataclass(frozen=True)
class Pages:
    """Query photos searched among the gallery's: which of each page show what the query shows."""

    right: dict[str, float]
    """The part of a page of 24 that does: `before`, `matrix`, `ordered` and `whole`."""
    same: float
    """The part of the whole model's page that is on the ordered one."""

    @classmethod
    def of(cls, site: PhotoSite, new: Projection, *, clicked: bool) -> Pages:
        """Of the queries whose labels were on the site, or of the others."""
        queries, gallery = (
            site.photos.where(site.photos.splits == s) for s in ("query", "gallery")
        )
        queries = queries.where(np.isin(queries.labels, site.silent) != clicked)
        asked, shown = (unit(project_all(site.start, each.features)) for each in (queries, gallery))
        matrix = squared(site.start, new)
        bilinear = asked @ matrix @ shown.T
        cosines = bilinear / np.sqrt(np.einsum("ni,ni->n", shown @ matrix, shown))
        pages = {
            "before": best(asked @ shown.T),
            "matrix": best(bilinear),
            "ordered": ordered(bilinear, cosines),
            "whole": best(cosines),
        }
        right = {
            name: float((gallery.labels[page] == queries.labels[:, None]).mean())
            for name, page in pages.items()
        }
        both = zip(pages["ordered"], pages["whole"], strict=True)
        return cls(right, mean(len(set(one) & set(other)) / PAGE for one, other in both))

    def gained(self, name: str) -> float:
        """How much more of a page is right than before."""
        return self.right[name] - self.right["before"]


def squared(old: Projection, new: Projection) -> Features:
    """W, also of a head that goes too far to be served by it."""
    across, down = np.linalg.qr(old.matrix.astype(np.float64))
    head = np.linalg.solve(down, across.T @ new.matrix.astype(np.float64))
    return np.asarray(head @ head.T, np.float32)


def best(scores: NDArray[np.floating], count: int = PAGE) -> NDArray[np.intp]:
    """(q, count) rows of the gallery, best first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def ordered(bilinear: NDArray[np.floating], cosines: NDArray[np.floating]) -> NDArray[np.intp]:
    """The page that the API makes: of what the matrix finds, the nearest by cosine."""
    found = best(bilinear, PAGE + FURTHER)
    by_cosine = np.argsort(-np.take_along_axis(cosines, found, 1), axis=1, kind="stable")
    return np.take_along_axis(found, by_cosine[:, :PAGE], 1)


def one_third(site: PhotoSite, seed: int, records: int) -> dict[bool, Pages]:
    """By whether labels were clicked: pages at the careful strength, a third kept off the site."""
    torch.set_num_threads(1)
    site = site.without(held_out_third(site.photos.labels.tolist(), seed))
    log = site.clicks(DEFAULT, records, RULES, seed=CLICKS_SEED).first(MANY)
    new = site.trained(pairs_in([log], RULES)).ungated(CAREFUL)
    return {clicked: Pages.of(site, new, clicked=clicked) for clicked in (True, False)}


def measure(size: Size) -> list[Figure]:
    """Pages on thirds of the labels, then recall of the graph under queries at each strength."""
    folder = photos_for(size)
    if folder is None:
        return []
    site, records = photo_site(folder, size), size.of(RECORDS, 2_000)
    seeds = range(size.of(THIRDS, 1))
    with pool(len(os.sched_getaffinity(0))) as processes:
        thirds = processes.starmap(one_third, [(site, seed, records) for seed in seeds], 1)
        log = site.clicks(DEFAULT, records, RULES, seed=CLICKS_SEED).first(MANY)
        head = site.trained(pairs_in([log], RULES))
        tasks = [(site, head, size, None), (site, head, size, size.of(DRAWN, 200))]
        found = processes.starmap(recalls_of, tasks, 1)
    return [
        *(_gain(thirds, clicked=clicked) for clicked in (True, False)),
        *(figure for each in found for figure in each),
    ]


def _gain(thirds: list[dict[bool, Pages]], *, clicked: bool) -> Figure:
    pages = [each[clicked] for each in thirds]
    gains = {
        name: mean(page.gained(name) for page in pages) for name in ("matrix", "ordered", "whole")
    }
    which = "clicked labels" if clicked else "labels without a click"
    return ratio(
        f"gain in precision@{PAGE} before any re-index ÷ after it, strength {CAREFUL}, {which}",
        gains["ordered"] / gains["whole"] if gains["whole"] else 0.0,
        at_least=0.9,
        detail=f"mean of {len(pages)} thirds: {gains['ordered']:+.4f} ÷ {gains['whole']:+.4f}; by "
        f"the matrix alone {gains['matrix']:+.4f}; {mean(page.same for page in pages):.4f} of the "
        "page is the same",
    )


def recalls_of(site: PhotoSite, head: Head, size: Size, count: int | None) -> list[Figure]:
    """Of an index of the photos that nobody asks by, or of so many drawn between them."""
    photos = site.photos
    raw, asking = project_all(site.start, photos.features), photos.splits == "query"
    vectors = raw[~asking] if count is None else drawn(raw[~asking], count)
    chosen = np.random.default_rng(SEED).permutation(np.flatnonzero(asking))[: size.of(QUERIES, 5)]
    queries = unit(raw[chosen])
    models = {s: head.ungated(s) for s in STRENGTHS[: size.of(len(STRENGTHS), 1)]}
    asked: dict[float | None, Features] = {None: queries}
    for strength, new in models.items():
        asked[strength] = unit(queries @ squared(site.start, new))
    settings = IndexSettings()
    if count is None:
        settings = settings.model_copy(update={"optimise_after": _GRAPH_FROM})
    kind = "photos" if count is None else "drawn"
    found = recalls(asked, unit(vectors), settings)
    return [
        ratio(
            f"recall@{PAGE} to exact, {len(vectors):,} {kind}, {each.name}, {_told(s)}",
            each.recall,
            at_least=None if s == GREEDY else 0.99,
            detail=f"{len(queries)} queries; p50 {each.p50_ms:.2f}, p95 {each.p95_ms:.2f} ms",
        )
        for s, measured in found.items()
        for each in measured
    ]


def _told(strength: float | None) -> str:
    if strength is None:
        return "the old model's queries"
    return f"queries at strength {strength:g}"
