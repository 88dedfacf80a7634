"""A whole re-index by kept features against one by the pictures, and what searches feel of it.

    python -m benchmarks.reindex [--photos 4403] [--rate 200] [--only whole|searches]

On one running node: photos are indexed, then models that differ in their projection alone are put
beside what serves, by features and by bytes in turn, through the command's own code. Searches are
paced and measured idle, beside a re-index with a rate limit, idle again, and so on.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from benchmarks.arrivals import Arrivals
from benchmarks.harness import Figure, Size, percentile, ratio, report
from benchmarks.node import Answer, Client, Node, running_node
from benchmarks.search import BASE, PACE_PER_S, by_id
from benchmarks.stack import servers
from sightline.engine.connecting.connections import open_object_store
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.embedding.projections import Projection, load_linear
from sightline.engine.settings import EmbedderSettings
from sightline.infra.commands.reindex import By, ReindexCommands, Wish
from sightline.schemas.indexed import Lane
from sightline.stream_workers.reindexing.progress import FillingStep, ReindexProgress
from sightline.training.models.candidates import of_settings
from sightline.training.models.registry import NewModel, store_model
from sightline.training.models.released_head import registered

RATE_PER_S = 200.0
"""Images a second while searches are measured."""
GOAL = 20
"""So many times cheaper is a whole re-index by features to be than one by bytes."""
_FILLED = {FillingStep.OPTIMISE, FillingStep.PROVE, FillingStep.READY}
"""What is done once every image is in it."""
_LOOK_S = 0.05
_LIMIT_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """How long a re-index took, in seconds from being asked for."""

    filled_s: float
    """Until every image was in it."""
    ready_s: float
    """Until it was compared and may serve."""
    cpu_s: float
    """CPU seconds of the node until every image was in it, whatever else the node did."""
    copying_cpu_s: float
    """Of these while kept features were copied: what grows with the images."""
    ready_cpu_s: float
    progress: ReindexProgress


def measure(
    size: Size,
    *,
    photos: int | None = None,
    rate_per_s: float = RATE_PER_S,
    only: str | None = None,
) -> list[Figure]:
    """Both, on one node; `only` one of them where it says `whole` or `searches`."""
    photos = photos or size.of(4_403, 40)
    figures = list[Figure]()
    with servers() as own, running_node(own, pictures=photos) as node:
        node.publish(Arrivals(prefix=BASE, count=photos, lane=Lane.BACKFILL))
        if only != "searches":
            figures += _whole(node, photos)
        if only != "whole":
            with Client(node.process.url) as client:
                for number in range(size.of(100, 5)):  # warm
                    by_id(client, number)
                figures.append(_searches_beside(node, client, size, rate_per_s))
    return figures


def _whole(node: Node, photos: int) -> list[Figure]:
    took: dict[By, Took] = {}
    for number, by in enumerate[By](("features", "bytes")):
        took[by] = reindexed(node, f"whole{number}", by)
    features, read = took["features"], took["bytes"]
    reads = features.progress.republished
    return [
        ratio(
            "a whole re-index by bytes ÷ by features, until every image is in it",
            read.filled_s / features.filled_s,
            at_least=GOAL,
            detail=f"{photos:,} photos: {read.filled_s:.1f} s ÷ {features.filled_s:.1f} s; until "
            f"they were compared {read.ready_s:.1f} and {features.ready_s:.1f} s",
        ),
        ratio(
            "the same in CPU seconds of the node",
            read.cpu_s / features.cpu_s,
            at_least=GOAL,
            detail=f"{read.cpu_s:.1f} ÷ {features.cpu_s:.1f} CPU-s; until they were compared "
            f"{read.ready_cpu_s:.1f} and {features.ready_cpu_s:.1f}; {_reached_from(took, photos)}",
        ),
        Figure(
            name="pictures read to fill a generation by features",
            value=reads,
            unit="pictures",
            goal="0",
            met=reads == 0,
            detail=_proven(features.progress),
        ),
    ]


def _reached_from(took: Mapping[By, Took], photos: int) -> str:
    """From how many images on the goal is reached, if all that does not grow stays as it is."""
    features, read = took["features"], took["bytes"]
    each = features.copying_cpu_s / photos
    fixed_s = features.cpu_s - features.copying_cpu_s
    by_bytes = (read.cpu_s - fixed_s) / photos
    told = f"{1e6 * each:.0f} µs an image by features and {fixed_s:.1f} CPU-s besides, "
    told += f"{1e6 * by_bytes:.0f} µs by bytes"
    if by_bytes <= GOAL * each:
        return f"{told}: never {GOAL} times"
    images = (GOAL - 1) * fixed_s / (by_bytes - GOAL * each)
    return f"{told}: {GOAL} times from {max(0.0, images):,.0f} images on"


def _proven(progress: ReindexProgress) -> str:
    parity = progress.parity
    if parity is None:
        return "not compared"
    recalls = ", ".join(f"{line.of} {line.recall}" for line in parity.recall)
    return (
        f"afterwards {parity.reproduced.pictures} pictures were embedded to compare, worst cosine "
        f"{parity.reproduced.worst_cosine}; recall@24 {recalls}"
    )


def _searches_beside(node: Node, client: Client, size: Size, rate_per_s: float) -> Figure:
    idle: list[list[float]] = [_idle(client, size)]
    busy: list[float] = []
    for turn in range(size.of(4, 1)):
        with _running(node, f"beside{turn}", rate_per_s) as over:
            busy += [answer.ms for answer in _paced(client, _LIMIT_S, over)]
        idle.append(_idle(client, size))
    calm = [ms for some in idle for ms in some]
    before, during = (percentile(side, 0.95) for side in (calm, busy))
    middle = [percentile(side, 0.5) for side in (busy, calm)]
    apart = ", ".join(f"{percentile(some, 0.95):.1f}" for some in idle)
    return ratio(
        "search p95 while a generation is filled by features and compared ÷ idle",
        during / before,
        at_most=1.5,
        detail=f"{during:.2f} ms ÷ {before:.2f} ms; p50 {middle[0]:.2f} ÷ {middle[1]:.2f} ms; "
        f"{len(busy)} and {len(calm)} by id at {PACE_PER_S:.0f}/s; {rate_per_s:.0f} images/s; "
        f"idle p95 before, between and after {apart} ms",
    )


def _idle(client: Client, size: Size) -> list[float]:
    return [answer.ms for answer in _paced(client, size.of(20.0, 1.0))]


@contextmanager
def _running(node: Node, name: str, rate_per_s: float) -> Iterator[threading.Event]:
    """A re-index in another thread; the event is set when it has ended."""
    over = threading.Event()

    def run() -> None:
        try:
            reindexed(node, name, "features", rate_per_s=rate_per_s)
        finally:
            over.set()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run)
        yield over
        done.result()


def _paced(client: Client, seconds: float, over: threading.Event | None = None) -> Iterator[Answer]:
    started, number = time.perf_counter(), 0
    while time.perf_counter() - started < seconds and not (over and over.is_set()):
        time.sleep(max(0.0, started + number / PACE_PER_S - time.perf_counter()))
        yield by_id(client, number % 40)
        number += 1


def reindexed(node: Node, name: str, by: By, *, rate_per_s: float | None = None) -> Took:
    """Release a model and re-index with it.

    Raises:
        RuntimeError: it did not become ready.
    """
    settings = node.settings
    with closing(open_object_store(settings)) as store:
        digest = store_model(store, settings.store.bucket, _model(settings.embedder, name))
        commands = ReindexCommands(settings, store)
        model = f"{name}@{digest}"
        held = commands.made(model)  # loaded before the clock starts, as a server has it
        started, cpu_s = time.perf_counter(), _cpu_s(node.process.pid)
        asked = commands.ask(Wish(model=model, by=by, rate_per_s=rate_per_s))
        seen, last = _Seen(), asked
        for last in commands.watch(asked.generation, threading.Event(), every_s=_LOOK_S):
            used_s = _cpu_s(node.process.pid) - cpu_s
            seen.step(last.step, time.perf_counter() - started, used_s)
        if last.parity is None or last.refused:
            raise RuntimeError(f"generation {held.spec.name} is not ready: {last}")
        return Took(
            filled_s=seen.filled_s,
            ready_s=time.perf_counter() - started,
            cpu_s=seen.cpu_s,
            copying_cpu_s=seen.copied_cpu_s - seen.asked_cpu_s,
            ready_cpu_s=_cpu_s(node.process.pid) - cpu_s,
            progress=last,
        )


@dataclass(slots=True)
class _Seen:
    """When a re-index went from one step to the next, in seconds since it was asked for."""

    filled_s: float = 0.0
    cpu_s: float = 0.0
    asked_cpu_s: float = 0.0
    """Until kept features were copied."""
    copied_cpu_s: float = 0.0
    """Until they all were."""

    def step(self, now: FillingStep, wall_s: float, cpu_s: float) -> None:
        """Note that this was being done so many seconds after it was asked for."""
        if now is FillingStep.WAIT:
            self.asked_cpu_s = self.copied_cpu_s = cpu_s
        elif now is FillingStep.SEED:
            self.copied_cpu_s = cpu_s
        elif not self.filled_s and now in _FILLED:
            self.filled_s, self.cpu_s = wall_s, cpu_s


def _cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, all its threads together (Linux)."""
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def _model(embedder: EmbedderSettings, name: str) -> NewModel:
    """The serving network with another projection, which the name draws."""
    shipped = load_linear(PACKAGED_PROJECTION)
    random = np.random.default_rng(crc32(name.encode()))
    weights = random.uniform(0.5, 1.5, shipped.matrix.shape[1:]).astype(np.float32)
    candidate = of_settings(name, embedder)
    drawn = Projection(shipped.mean, np.ascontiguousarray(shipped.matrix * weights))
    return registered(replace(candidate, projection=drawn), name, metrics={}, lineage={})


def main() -> None:
    """Measure with as many photos as asked for, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=4_403)
    parser.add_argument("--rate", type=float, default=RATE_PER_S, help="images a second")
    parser.add_argument("--only", choices=("whole", "searches"))
    asked = parser.parse_args()
    figures = measure(Size.FULL, photos=asked.photos, rate_per_s=asked.rate, only=asked.only)
    report("reindex", figures)


if __name__ == "__main__":
    main()
