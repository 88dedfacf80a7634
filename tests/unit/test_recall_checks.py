"""A sample of searches, asked once more behind the answer: how much of an exact scan is found."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.metrics import Metrics
from sightline.engine.records import Hit, SearchRequest, TagFilter
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.engine.vector_index.visible import VisibleIndex
from sightline.search_api.search.recall_checks import QUIET, REST, RecallChecks, Sampled, recall_of
from tests.indexed_images import SPEC, Kind, image, query, unit_vector

VECTOR = unit_vector(1)


class Forgetful(MemoryVectorIndex):
    """An index whose graph does not lead to some images; a scan finds them."""

    down = False

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.unreachable: set[str] = set()
        self.asked: list[SearchRequest] = []
        self.takes: Callable[[], None] = lambda: None

    def search(self, request: SearchRequest) -> list[Hit]:
        """See `VectorIndex.search`."""
        if self.down:
            raise PartUnavailable(Part.INDEX, "away")
        self.asked.append(request)
        self.takes()
        if request.exact:
            return super().search(request)
        whole = super().search(replace(request, limit=1_000))
        return [hit for hit in whole if hit.image.image_id not in self.unreachable][: request.limit]


class Held(Executor):
    """A thread that works when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: object, **kwargs: object) -> Future[Any]:
        """See `Executor.submit`."""
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def work(self) -> int:
        """Do what waits, and tell how much it was."""
        doing, self.waiting = self.waiting, []
        for one in doing:
            one()
        return len(doing)


class Desk:
    """Checks over an index of ten images, each a little further away than the one before."""

    def __init__(self, *, per_minute: float = 1.0) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.threads = Held()
        self.index = Forgetful()
        across = unit_vector(2) - VECTOR * float(unit_vector(2) @ VECTOR)
        across /= np.linalg.norm(across)
        for n in range(10):
            cosine = 1 - n / 10
            vector = cosine * VECTOR + np.sqrt(1 - cosine**2) * across
            self.index.apply([image(f"i{n}", vector=vector.astype(np.float32), tags=("all",))])
        self.checks = RecallChecks(
            per_minute=per_minute, threads=self.threads, clock=self.clock, metrics=self.metrics
        )

    def offer(self, *, under_way: int = 0, **said: object) -> int:
        """Offer a search; how many checks were made."""
        request = replace(query(VECTOR, limit=5), **said)  # type: ignore[arg-type]
        sampled = Sampled(VisibleIndex(self.index), request, SPEC.model_digest)
        self.checks.offer(sampled, under_way=under_way)
        return self.threads.work()

    def value(self, name: str, **labels: str) -> float | None:
        """A sample of the metrics."""
        return self.metrics.registry.get_sample_value(f"sightline_search_recall{name}", labels)


@pytest.fixture
def desk() -> Desk:
    """A desk where a check is due."""
    desk = Desk()
    desk.clock.advance(60)
    return desk


def test_recall_is_the_part_of_the_scan_that_is_found(desk: Desk) -> None:
    """Two of five that no path leads to are missed, whatever came in their place."""
    visible = VisibleIndex(desk.index)
    assert recall_of(visible, query(VECTOR, limit=5)) == 1
    desk.index.unreachable = {"i1", "i3"}
    assert recall_of(visible, query(VECTOR, limit=5)) == pytest.approx(3 / 5)
    assert (
        recall_of(visible, replace(query(VECTOR, limit=5), tags=TagFilter(any_of=("no",)))) is None
    )


def test_another_of_equal_pictures_is_no_miss(desk: Desk) -> None:
    """The scan shows one of two that are as near; the graph may show the other."""
    twin = desk.index.get(["i4"], vectors=True)["i4"].vector
    desk.index.apply(
        [image("twin", vector=twin), image("hidden", kind=Kind.PRIVATE, vector=VECTOR)]
    )
    desk.index.unreachable = {"i4"}
    assert recall_of(VisibleIndex(desk.index), query(VECTOR, limit=5)) == 1


def test_what_was_found_is_told_with_and_without_tags(desk: Desk) -> None:
    """By the model that answered; the second read alone is exact."""
    desk.index.unreachable = {"i0"}
    assert desk.offer() == 1
    assert [asked.exact for asked in desk.index.asked] == [False, True]
    desk.clock.advance(60)
    desk.index.unreachable = set()
    assert desk.offer(tags=TagFilter(any_of=("all",))) == 1
    model = SPEC.model_digest
    assert desk.value("_sum", filtered="no", model=model) == pytest.approx(4 / 5)
    assert desk.value("_sum", filtered="yes", model=model) == 1
    assert desk.value("_checks_total", result="checked") == 2


def test_checks_come_no_oftener_than_they_may() -> None:
    """Not at once, not twice a minute, and never where the rate is 0."""
    desk, never = Desk(), Desk(per_minute=0)
    assert desk.offer() == 0
    desk.clock.advance(60)
    assert (desk.offer(), desk.offer()) == (1, 0)
    desk.clock.advance(59)
    assert desk.offer() == 0
    desk.clock.advance(1)
    assert desk.offer() == 1
    never.clock.advance(1e9)
    assert never.offer() == 0


def test_one_check_at_a_time(desk: Desk) -> None:
    """While one is under way all others are passed over; none of them waits."""
    request = query(VECTOR, limit=5)
    sampled = Sampled(VisibleIndex(desk.index), request, SPEC.model_digest)
    desk.checks.offer(sampled, under_way=0)
    desk.clock.advance(600)
    desk.checks.offer(sampled, under_way=0)
    assert desk.threads.work() == 1


def test_a_check_is_in_nobodys_way(desk: Desk) -> None:
    """Where others search it is passed over, and stays due; an exact search says nothing."""
    assert desk.offer(under_way=QUIET + 1) == 0
    assert desk.offer(exact=True) == 0
    assert desk.offer(under_way=QUIET) == 1


def test_slow_scans_make_checks_seldom(desk: Desk) -> None:
    """Of two reads of two seconds each, the next check is 200 times as long away."""
    desk.index.takes = lambda: desk.clock.advance(2)
    assert desk.offer() == 1
    desk.clock.advance(4 * REST - 1)
    assert desk.offer() == 0
    desk.clock.advance(1)
    assert desk.offer() == 1


def test_a_check_that_fails_is_counted_and_the_next_one_comes(desk: Desk) -> None:
    """As one that found nothing to compare."""
    desk.index.down = True
    assert desk.offer() == 1
    desk.index.down = False
    desk.clock.advance(60)
    assert desk.offer(tags=TagFilter(any_of=("no",))) == 1
    assert desk.value("_checks_total", result="failed") == 1
    assert desk.value("_checks_total", result="empty") == 1
    assert desk.value("_count", filtered="yes", model=SPEC.model_digest) is None
