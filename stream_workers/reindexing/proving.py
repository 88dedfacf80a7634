"""Two generations in, the report by which the new one becomes ready out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from sightline.engine.pacing import Pace
from sightline.engine.ports import Clock, VectorIndex
from sightline.engine.records import IndexedImage
from sightline.engine.stopping import until
from sightline.stream_workers.reindexing.comparing import PAGE, Comparison
from sightline.stream_workers.reindexing.parity import Parity, Reproduced
from sightline.stream_workers.reindexing.recall import QUERIES, Sample, recall_lines
from sightline.stream_workers.reindexing.reproduction import PICTURES


def prove(
    old: VectorIndex,
    new: VectorIndex,
    *,
    settle: Callable[[], object],
    reproduce: Callable[[Iterable[IndexedImage]], Reproduced],
    pace: Pace,
    clock: Clock,
    stop: threading.Event,
) -> Parity | None:
    """Compare every image, measure the graph, and embed a few pictures anew; None: it was stopped.

    Args:
        old: the generation that serves.
        new: the one that is to serve; nothing is written to either.
        settle: waits a moment for what is on its way.
        reproduce: embeds the pictures of some images again.
        pace: images a second; a search, or a picture, counts for as many as a page has.
        clock: tells when it began and ended.
        stop: ends it early.

    Raises:
        PartUnavailable: an index or the store did not answer; repeat it whole.
    """
    began = clock.now()
    sample = Sample(QUERIES)
    compared = Comparison(
        old, new, settle=settle, pace=pace, clock=clock, stop=stop, sample=sample
    ).compare()
    recall = recall_lines(new, sample, pace, stop)
    reproduced = reproduce(until(stop, _paced(sample.images[:PICTURES], pace)))
    if stop.is_set():
        return None
    return Parity(
        old=old.spec.name,
        new=new.spec.name,
        began_at=began,
        compared=compared,
        recall=recall,
        reproduced=reproduced,
        ended_at=clock.now(),
    )


def _paced(images: Sequence[IndexedImage], pace: Pace) -> Iterator[IndexedImage]:
    for image in images:
        pace.wait(PAGE)
        yield image
