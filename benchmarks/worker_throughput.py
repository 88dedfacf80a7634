"""Worker images/s ÷ bare decode + forward of the same model in its fastest mode (DESIGN §7).

Two settings: broker on the other core and a directory as the store (the worker alone has its core),
and everything sharing all cores. Both sides of a pair run in the same process, in turn.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sightline.engine.decode import prepare
from sightline.engine.event_log_kafka import read_topics
from sightline.infra.wiring import Parts
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES_INDEXED

from benchmarks.harness import Figure, median_ratio, peak_memory_mib, ratio, report
from benchmarks.stack import Servers, outcome_count, photo_bytes, publish, servers

PHOTOS = 2_000
ROUNDS = 3
BATCH = 8


def main() -> None:
    """Measure both settings; table and JSON."""
    cores = sorted(os.sched_getaffinity(0))
    figures = []
    with servers(affinity={cores[-1]}) as away:
        os.sched_setaffinity(0, {cores[0]})
        figures.append(
            _pair(
                away,
                "services on other cores, directory store",
                goal=0.95,
                threads=1,
                directory_store=True,
            )
        )
        os.sched_setaffinity(0, cores)
    with servers() as beside:
        figures.append(
            _pair(
                beside,
                "sharing the cores with Kafka and MinIO",
                goal=0.8,
                threads=len(cores),
                directory_store=False,
            )
        )
    memory = Figure(
        name="peak memory of the worker process", value=peak_memory_mib(), unit="MiB",
        detail="resident, the bare side and the photos' bytes included",
    )  # fmt: skip
    report("worker_throughput", [*figures, memory])


def _pair(own: Servers, name: str, *, goal: float, threads: int, directory_store: bool) -> Figure:
    pictures = photo_bytes(PHOTOS, own.scratch)
    worker, bare = [], []
    for _ in range(ROUNDS):
        settings = own.settings(directory_store=directory_store, threads=threads)
        with Parts(settings) as parts:
            parts.ensure_topics()
            publish(parts.publisher, pictures, prefix="p")
            bare.append(_bare(parts, pictures, threads))
            worker.append(_worker(parts, len(pictures)))
    detail = f"worker {max(worker):.0f}/s, bare {max(bare):.0f}/s; {ROUNDS} rounds of {PHOTOS}"
    return ratio(
        f"worker ÷ bare decode + forward: {name}",
        median_ratio(worker, bare),
        at_least=goal,
        detail=detail,
    )


def _bare(parts: Parts, pictures: Sequence[bytes], threads: int) -> float:
    """Images/s of threads that each decode and forward batches, and do nothing else."""
    import numpy as np  # noqa: PLC0415 - only here

    embedder, limits = parts.embedder, parts.settings.decode
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]

    def embed(batch: Sequence[bytes]) -> None:
        crops = [prepare(p, limits=limits, size=embedder.input_size).crop for p in batch]
        embedder.embed(np.stack(crops))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(embed, batches[: 4 * threads]))  # warm
        started = time.perf_counter()
        list(pool.map(embed, batches))
        return len(pictures) / (time.perf_counter() - started)


def _worker(parts: Parts, expected: int) -> float:
    """Images/s between the first image applied and the last."""
    stop = threading.Event()
    thread = threading.Thread(target=parts.worker().run, args=(stop,))
    thread.start()
    while outcome_count(parts) < expected:
        time.sleep(0.05)
    stop.set()
    thread.join()
    times = sorted(
        decode(message.value).data.times.searchable
        for message in read_topics(parts.kafka, [IMAGES_INDEXED.name])
    )
    # The first batch's own work lies before its time: count what came after it.
    after_first = [instant for instant in times if instant > times[0]]
    return len(after_first) / (times[-1] - times[0]).total_seconds()


if __name__ == "__main__":
    main()
