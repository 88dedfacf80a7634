"""Worker images/s ÷ bare decode + forward of the same model in its fastest mode.

Two settings: broker on the other core and a directory as the store (the worker alone has its core),
and everything sharing all cores. Both sides of a pair run in the same process, in turn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.harness import Figure, Size, median_ratio, ratio
from benchmarks.node import images_per_s, times_of
from benchmarks.stack import (
    Servers,
    photo_bytes,
    publish,
    run_worker_until,
    servers,
    serving_worker,
)
from sightline.engine.pictures.prepare import prepare
from sightline.infra.wiring.node import Node
from sightline.infra.wiring.services import services_node

BATCH = 8


def measure(size: Size) -> list[Figure]:
    """Both settings; in the first, this process has one core and the services the others."""
    cores = sorted(os.sched_getaffinity(0))
    with servers(affinity={cores[-1]}) as away:
        os.sched_setaffinity(0, {cores[0]})
        try:
            apart = _pair(away, size, threads=1, directory_store=True)
        finally:
            os.sched_setaffinity(0, cores)
    with servers() as beside:
        shared = _pair(beside, size, threads=len(cores), directory_store=False)
    return [
        _figure("services on other cores, directory store", apart, at_least=0.95),
        _figure("sharing the cores with Kafka and MinIO", shared, at_least=0.8),
    ]


@dataclass(frozen=True, slots=True)
class Pair:
    """Images/s of both sides, round by round."""

    worker: list[float]
    bare: list[float]
    photos: int


def _figure(name: str, pair: Pair, *, at_least: float) -> Figure:
    rounds = ", ".join(f"{w:.0f}/{b:.0f}" for w, b in zip(pair.worker, pair.bare, strict=True))
    return ratio(
        f"worker ÷ bare decode + forward: {name}",
        median_ratio(pair.worker, pair.bare),
        at_least=at_least,
        detail=f"images/s by round {rounds}; {pair.photos:,} photos each",
    )


def _pair(own: Servers, size: Size, *, threads: int, directory_store: bool) -> Pair:
    pair = Pair([], [], size.of(2_000, 24))
    pictures = photo_bytes(pair.photos, own.scratch)
    for _ in range(size.of(3, 1)):
        settings = own.settings(directory_store=directory_store, threads=threads)
        with services_node(settings) as node:
            publish(node.publishing.publisher, pictures, prefix="p")
            before = _bare(node, pictures, threads)
            pair.worker.append(_worker(node, len(pictures)))
            # Before and after, so that a machine that gets busier favours neither side.
            pair.bare.append((before + _bare(node, pictures, threads)) / 2)
    return pair


def _bare(node: Node, pictures: Sequence[bytes], threads: int) -> float:
    """Images/s of threads that each decode and forward batches, and do nothing else."""
    embedder, limits = node.serving.pairs.now().embedder, node.settings.decode
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]

    def embed(batch: Sequence[bytes]) -> None:
        crops = [prepare(p, limits=limits, framing=embedder.framing).crop for p in batch]
        embedder.embed(np.stack(crops))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(embed, batches[: 4 * threads]))  # warm
        started = time.perf_counter()
        list(pool.map(embed, batches))
        return len(pictures) / (time.perf_counter() - started)


def _worker(node: Node, expected: int) -> float:
    """Images/s from when the first is taken to when the last is applied."""
    run_worker_until(node.watch, serving_worker(node), expected)
    return images_per_s(times_of(node.events.kafka, "p"))
