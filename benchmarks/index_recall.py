"""Recall@24 of the shipped index settings to exact, with filters; query times; memory.

    python -m benchmarks.index_recall [--points 10000 50000] [--queries 200]

Vectors are synthetic, 512-d and clustered like embeddings of photographs (uniform random ones have
no neighbours worth finding). Every point count has a child process, so that memory is its own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, percentile, ratio, report
from benchmarks.processes import fresh
from sightline.engine.records import (
    GenerationSpec,
    ImageStage,
    IndexedImage,
    SearchRequest,
    TagFilter,
    WinnerLocation,
)
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageUploaded, ObjectReference, tie
from sightline.schemas.indexed import Outcome

DIMENSIONS = 512
PAGE = 24
BATCH = 64
SEED = 20_260_301
FILTERS = {
    "unfiltered": TagFilter(),
    "10 % filter": TagFilter(all_of=("tenth",)),
    "1 % filter": TagFilter(all_of=("hundredth",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One filter at one point count."""

    points: int
    name: str
    recall: float
    p50_ms: float
    p95_ms: float
    exact_p50_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What it took to fill the index, and what it holds."""

    points: int
    applied_per_s: float
    optimise_s: float
    """From the last write until the optimiser was idle."""
    anonymous_mib: float
    """Memory of the process that is not files."""
    mapped_mib: float
    """Files in memory: they go when something else needs the room."""
    disk_mib: float


def clustered(points: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Unit vectors, float32 (points, 512): 1,000 clusters, variances falling as 1/i.

    Clustered, so that a point's neighbours are nearer than chance; that they are as hard as the
    features of photographs is not claimed, which is why `recall.py` measures those beside them.
    """
    scale = np.arange(1, DIMENSIONS + 1) ** -0.5
    centres = np.random.default_rng(SEED).normal(size=(1_000, DIMENSIONS))
    drawn = centres[rng.integers(len(centres), size=points)]
    drawn = (drawn + 0.5 * rng.normal(size=(points, DIMENSIONS))) * scale
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def indexed(number: int, vector: NDArray[np.float32]) -> IndexedImage:
    """A public image; every tenth and every hundredth carries a tag."""
    tags = [name for name, every in (("tenth", 10), ("hundredth", 100)) if number % every == 0]
    name = f"image-{number}"
    state = ImageUploaded(
        image_id=name,
        version=1,
        visibility=Visibility.PUBLIC,
        tags=tuple(tags),
        object=ObjectReference(bucket="images", key=f"images/{name}", size_bytes=1),
    )
    now = datetime.now(UTC)
    return IndexedImage(
        state=state,
        event_id=name,
        event_source="benchmark",
        tie=tie(state, name),
        stage=ImageStage.FINAL,
        outcome=Outcome.INDEXED,
        occurred=now,
        appended=now,
        applied=now,
        winner=WinnerLocation("images.v1", 0, number),
        vector=vector,
    )


def measure(points: int, queries: int) -> tuple[Filled, list[Measured]]:
    """Fill an index of the shipped settings, let it optimise itself, and ask it."""
    rng = np.random.default_rng(SEED + points)
    spec = GenerationSpec(
        name="recall", model_digest="synthetic", preprocess_digest="none", dimensions=DIMENSIONS
    )
    with TemporaryDirectory(prefix="sightline-recall-") as directory:
        index = EdgeVectorIndex.open(Path(directory), spec, IndexSettings())
        with closing(index):
            vectors = clustered(points, rng)
            started = time.perf_counter()
            for start in range(0, points, BATCH):
                stop = min(points, start + BATCH)
                index.apply([indexed(n, vectors[n]) for n in range(start, stop)])
            applied = time.perf_counter()
            index.flush()
            if not index.wait_optimised(3_600):
                raise TimeoutError("the optimiser did not become idle within an hour")
            idle = time.perf_counter()
            del vectors
            asked = clustered(queries, rng)
            measured = [ask(index, points, name, asked) for name in FILTERS]
            filled = Filled(
                points=points,
                applied_per_s=points / (applied - started),
                optimise_s=idle - applied,
                anonymous_mib=_status_mib("RssAnon"),
                mapped_mib=_status_mib("RssFile"),
                disk_mib=_disk_mib(Path(directory)),
            )
    return filled, measured


def ask(
    index: EdgeVectorIndex,
    points: int,
    name: str,
    queries: NDArray[np.float32],
    further: int = 0,
) -> Measured:
    """Ask every query with one filter, as shipped and exactly.

    Args:
        index: filled, its graph built.
        points: how many it holds.
        name: of the filter.
        queries: (q, dimensions), of norm 1.
        further: so many results beyond the page are asked for; only the page is compared.
    """
    found, times, exact_times = 0, [], []
    wanted = 0
    for vector in queries:
        request = SearchRequest(vector=vector, limit=PAGE + further, tags=FILTERS[name])
        near, ms = _timed(index, request)
        truth, exact_ms = _timed(index, replace(request, exact=True))
        found += len(near & truth)
        wanted += len(truth)
        times.append(ms)
        exact_times.append(exact_ms)
    return Measured(
        points=points,
        name=name,
        recall=found / wanted,
        p50_ms=statistics.median(times),
        p95_ms=percentile(times, 0.95),
        exact_p50_ms=statistics.median(exact_times),
    )


def _timed(index: EdgeVectorIndex, request: SearchRequest) -> tuple[set[str], float]:
    """The images of the page, and milliseconds."""
    started = time.perf_counter()
    hits = index.search(request)
    return {hit.image.image_id for hit in hits[:PAGE]}, (time.perf_counter() - started) * 1_000


def _status_mib(name: str) -> float:
    """A line of `/proc/self/status`; 0 where there is no such file."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = [line for line in status.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def _disk_mib(directory: Path) -> float:
    return sum(f.stat().st_blocks * 512 for f in directory.rglob("*") if f.is_file()) / 2**20


def figures(filled: Filled, measured: list[Measured]) -> list[Figure]:
    """The claims of one point count."""
    recalls = [
        ratio(
            f"recall@{PAGE} to exact, {m.name}, {m.points:,} points",
            m.recall,
            at_least=0.99,
            detail=f"p50 {m.p50_ms:.2f} ms, p95 {m.p95_ms:.2f} ms; exact p50 {m.exact_p50_ms:.2f}",
        )
        for m in measured
    ]
    memory = Figure(
        name=f"memory of the process, {filled.points:,} points",
        value=filled.anonymous_mib,
        unit="MiB",
        detail=f"and {filled.mapped_mib:.0f} MiB of mapped files; disk {filled.disk_mib:.0f} MiB; "
        f"applied {filled.applied_per_s:.0f}/s; optimised {filled.optimise_s:.0f} s after it",
    )
    return [*recalls, memory]


def main() -> None:
    """Measure each point count in a process of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    with fresh().Pool(1, maxtasksperchild=1) as pool:
        jobs = [(points, arguments.queries) for points in arguments.points]
        results = pool.starmap(measure, jobs, chunksize=1)
    report("index_recall", [figure for result in results for figure in figures(*result)])


if __name__ == "__main__":
    main()
