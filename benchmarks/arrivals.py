"""Image events published by a process of their own, evenly or as a Poisson process.

The pictures' bytes are stored beforehand, so that publishing costs next to nothing and what is
measured is the worker, not its load generator.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.processes import fresh
from sightline.engine.settings import Settings
from sightline.infra.wiring.node import Base
from sightline.infra.wiring.services import services_base
from sightline.producers.images.published import Written
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageUploaded, ObjectReference
from sightline.schemas.indexed import Lane

_STORERS = 8
_ACKNOWLEDGE_EVERY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What to publish, and when."""

    prefix: str
    """Images are `<prefix>-<number>`."""
    count: int
    rate_per_s: float | None = None
    """None: as fast as the broker takes them."""
    poisson: bool = False
    """Else evenly spaced."""
    lane: Lane = Lane.LIVE
    first: int = 0
    """The picture to begin with."""
    seed: int = 7

    def instants(self) -> Iterator[float]:
        """When each is due, seconds from the start."""
        if self.rate_per_s is None:
            return iter(np.zeros(self.count).tolist())
        gaps = np.full(self.count, 1 / self.rate_per_s)
        if self.poisson:
            gaps = np.random.default_rng(self.seed).exponential(gaps)
        return iter(np.cumsum(gaps).tolist())


def stored(base: Base, pictures: Sequence[bytes]) -> list[ObjectReference]:
    """Put each picture's bytes into the store once; what events refer to."""

    def put(item: tuple[int, bytes]) -> ObjectReference:
        number, picture = item
        original = base.publishing.publisher.original(f"picture-{number}", picture, "image/jpeg")
        base.publishing.publisher.keep(original)
        return original.reference

    with ThreadPoolExecutor(_STORERS) as pool:
        return list(pool.map(put, enumerate(pictures)))


def publish_arrivals(
    settings: Settings, references: Sequence[ObjectReference], arrivals: Arrivals
) -> None:
    """Publish them all, each no earlier than it is due; returns when all are acknowledged."""
    with services_base(settings) as base:
        publisher = base.publishing.publisher
        waiting: list[Future[Written]] = []
        started = time.perf_counter()
        for number, due_s in enumerate(arrivals.instants()):
            time.sleep(max(0.0, started + due_s - time.perf_counter()))
            state = ImageUploaded(
                image_id=f"{arrivals.prefix}-{number}",
                version=1,
                visibility=Visibility.PUBLIC,
                object=references[(arrivals.first + number) % len(references)],
            )
            waiting.append(publisher.publish(state, lane=arrivals.lane))
            if len(waiting) >= _ACKNOWLEDGE_EVERY:
                waiting.pop(0).result()
        for published in waiting:
            published.result()


@contextmanager
def arriving(
    settings: Settings, references: Sequence[ObjectReference], arrivals: Arrivals
) -> Iterator[None]:
    """Publish in a child process while the body runs; at the end, wait for the child.

    Raises:
        RuntimeError: the child failed.
    """
    child = fresh().Process(target=publish_arrivals, args=(settings, references, arrivals))
    child.start()
    try:
        yield
    finally:
        child.join()
    if child.exitcode != 0:
        raise RuntimeError(f"the publishing process ended with {child.exitcode}")
