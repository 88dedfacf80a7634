"""Peak resident memory of an index worker alone, and of worker and API in one process."""

from __future__ import annotations

from benchmarks.arrivals import Arrivals, publish_arrivals, stored
from benchmarks.harness import Figure, Size, peak_memory_mib
from benchmarks.node import Client, running_node
from benchmarks.processes import pool
from benchmarks.search import BASE, by_id
from benchmarks.stack import Servers, photo_bytes, run_worker_until, servers, serving_worker
from sightline.engine.memory_arenas import keep_arenas_few
from sightline.engine.settings import Settings
from sightline.infra.wiring.services import services_base, services_node
from sightline.schemas.indexed import Lane


def measure(size: Size) -> list[Figure]:
    """Each in a process of its own that indexes the photos."""
    count = size.of(4_403, 30)
    with servers() as own:
        return [_worker(own, count), _node(own, count, searches=size.of(300, 5))]


def _worker(own: Servers, count: int) -> Figure:
    settings = own.settings()
    with services_base(settings) as base:
        references = stored(base, photo_bytes(count, own.scratch))
    publish_arrivals(settings, references, Arrivals(prefix=BASE, count=count))
    with pool(1) as processes:
        before, after = processes.apply(index_all, (settings, count))
    return Figure(
        name=f"peak memory of a worker that indexes {count:,} photos", value=after, unit="MiB",
        detail=f"{before:.0f} MiB with model and index open, before the first image",
    )  # fmt: skip


def index_all(settings: Settings, count: int) -> tuple[float, float]:
    """Index what is there; this process's peak before the first image and after the last, MiB."""
    keep_arenas_few()  # as `sightline worker` does
    with services_node(settings) as node:
        worker = serving_worker(node)
        before = peak_memory_mib()
        run_worker_until(node.watch, worker, count)
    return before, peak_memory_mib()


def _node(own: Servers, count: int, *, searches: int) -> Figure:
    with running_node(own, pictures=count) as node, Client(node.process.url) as client:
        before = peak_memory_mib(node.process.pid)
        node.publish(Arrivals(prefix=BASE, count=count, lane=Lane.BACKFILL))
        for number in range(searches):
            client.upload(node.pictures[number % count])
            by_id(client, number % count)
        after = peak_memory_mib(node.process.pid)
    return Figure(
        name=f"peak memory of worker and API in one process, {count:,} photos, "
        f"{2 * searches} searches",
        value=after,
        unit="MiB",
        detail=f"{before:.0f} MiB before the first image",
    )
