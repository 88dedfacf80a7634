"""Two generations in, the report by which the new one becomes ready out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar

from sightline.engine.pacing import Pace
from sightline.engine.ports import Clock, VectorIndex
from sightline.engine.records import IndexedImage
from sightline.engine.stopping import until
from sightline.stream_workers.reindexing.comparing import PAGE, Comparison
from sightline.stream_workers.reindexing.parity import Parity, Reproduced
from sightline.stream_workers.reindexing.recall import ASKED, LINES, QUERIES, Sample, recall_lines
from sightline.stream_workers.reindexing.reindexing import Done
from sightline.stream_workers.reindexing.reproduction import PICTURES

T = TypeVar("T")
Reproduce = Callable[[Iterable[IndexedImage]], Reproduced]


def prove(
    old: VectorIndex,
    new: VectorIndex,
    *,
    settle: Callable[[], object],
    reproduce: Reproduce,
    least_cosine: float,
    pace: Pace,
    clock: Clock,
    stop: threading.Event,
) -> Generator[Done, None, Parity | None]:
    """Compare every image, measure the graph, and embed a few pictures anew; None: it was stopped.

    Says how far it is in what the pace counts: images of both, and those that searches return.

    Args:
        old: the generation that serves.
        new: the one that is to serve; nothing is written to either.
        settle: waits a moment for what is on its way.
        reproduce: embeds the pictures of some images again.
        least_cosine: how near these must be to the new generation's vectors.
        pace: images a second; a search, or a picture, counts for as many as a page has.
        clock: tells when it began and ended.
        stop: ends it early.

    Raises:
        PartUnavailable: an index or the store did not answer; repeat it whole.
    """
    began, sample = clock.now(), Sample(QUERIES)
    comparison = Comparison(
        old, new, settle=settle, pace=pace, clock=clock, stop=stop, sample=sample
    )

    def parts() -> Generator[int, None, Parity]:
        return Parity(
            old=old.spec.name,
            new=new.spec.name,
            began_at=began,
            compared=(yield from comparison.compare()),
            recall=(yield from recall_lines(new, sample, pace, stop)),
            reproduced=Reproduced.of(
                (yield from _reproduced(sample.images[:PICTURES], reproduce, pace, stop)),
                least_cosine,
            ),
            ended_at=clock.now(),
        )

    proven = yield from _so_far(parts(), _to_look_at(old, new))
    return None if stop.is_set() else proven


def _to_look_at(old: VectorIndex, new: VectorIndex) -> int:
    """How many images the pace will have counted; fewer where no tag is as rare as is asked for."""
    listed = new.count(listed_only=True)
    asked = LINES * min(QUERIES, listed) * ASKED + min(PICTURES, listed) * PAGE
    return old.count() + new.count() + asked


def _so_far(parts: Generator[int, None, T], total: int) -> Generator[Done, None, T]:
    """Adds up what the parts count, and returns what they come to."""
    done = 0
    while True:
        try:
            done += next(parts)
        except StopIteration as ended:
            found: T = ended.value
            return found
        yield Done(min(done, total), total)


def _reproduced(
    images: Sequence[IndexedImage], reproduce: Reproduce, pace: Pace, stop: threading.Event
) -> Generator[int, None, list[Reproduced]]:
    found = []
    for image in until(stop, images):
        pace.wait(PAGE)
        found.append(reproduce([image]))
        yield PAGE
    return found
