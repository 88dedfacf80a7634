"""A generation's own vectors in, how much of the exact page its graph finds out."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING

from sightline.engine.pacing import Pace
from sightline.engine.ports import VectorIndex
from sightline.engine.records import IndexedImage, SearchRequest, TagFilter
from sightline.engine.stopping import until
from sightline.stream_workers.reindexing.parity import RecallLine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AT = 24
QUERIES = 100
SHARES = (0.10, 0.01)
"""Filters are tags, or sets of them, that about so many of the listed images have."""
ASKED = 2 * AT
"""Images that a query is counted as: it is asked twice."""
LINES = 1 + len(SHARES)
_NEAR = 3.0
"""A filter that is so many times more or less frequent stands for the share."""
_MOST_TAGS = 100
"""In one filter."""
_EQUAL = 1e-6
"""Scores as near as this are one: which of several equal pictures is found is no matter."""


class Sample:
    """Some of the listed images, each with the same chance, and how frequent every tag is."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._random = random.Random(seed)  # noqa: S311 - a sample, no secret
        self.images: list[IndexedImage] = []
        self.tags: Counter[str] = Counter()
        self.listed = 0

    def take(self, images: Iterable[IndexedImage]) -> None:
        """Look at more images; those that are not listed are passed over."""
        for image in images:
            if image.listed:
                self.listed += 1
                self.tags.update(set(image.state.tags))
                self._take(image)

    def filter_of(self, share: float) -> tuple[str, TagFilter] | None:
        """A filter that lets about this share of the images through, and its name; None: none is.

        The name says no tag: it is kept, and a tag of few images may outlive them.

        One tag if there is one, else any of several rarer ones, else none of the most frequent.
        """
        wanted = share * self.listed
        return self._one_tag(wanted) or self._any_of(wanted) or self._none_of(share)

    def _one_tag(self, wanted: float) -> tuple[str, TagFilter] | None:
        near = {t: n for t, n in self.tags.items() if wanted / _NEAR <= n <= wanted * _NEAR}
        tag = min(near, key=lambda tag: (abs(near[tag] - wanted), tag), default=None)
        if tag is None:
            return None
        return f"one tag ({near[tag] / self.listed:.1%})", TagFilter(all_of=(tag,))

    def _any_of(self, wanted: float) -> tuple[str, TagFilter] | None:
        """Rarer tags, the most frequent first; images that have two of them are counted twice."""
        tags, found = list[str](), 0
        for tag, count in sorted(self.tags.items(), key=lambda one: (-one[1], one[0])):
            if found + count <= wanted and len(tags) < _MOST_TAGS:
                tags.append(tag)
                found += count
        if not tags or found < wanted / _NEAR:
            return None
        of = f"any of {len(tags)} tags (at most {found / self.listed:.1%})"
        return of, TagFilter(any_of=tuple(sorted(tags)))

    def _none_of(self, share: float) -> tuple[str, TagFilter] | None:
        """The images without the most frequent tags: the sample tells about how many they are."""
        frequent = [tag for tag, _ in sorted(self.tags.items(), key=lambda one: (-one[1], one[0]))]
        for many in range(1, min(len(frequent), _MOST_TAGS) + 1):
            without = set(frequent[:many])
            left = sum(without.isdisjoint(image.state.tags) for image in self.images)
            part = left / len(self.images)
            if share / _NEAR <= part <= share * _NEAR:
                of = f"none of {many} tags (about {part:.0%})"
                return of, TagFilter(none_of=tuple(sorted(without)))
        return None

    def _take(self, image: IndexedImage) -> None:
        """Keep the n-th image with the chance size / n, in place of any other."""
        if len(self.images) < self._size:
            self.images.append(image)
            return
        place = self._random.randrange(self.listed)
        if place < self._size:
            self.images[place] = image


def recall_lines(
    index: VectorIndex, sample: Sample, pace: Pace, stop: threading.Event
) -> Generator[int, None, tuple[RecallLine, ...]]:
    """Ask by each sampled vector, once through the graph and once exactly, under each filter.

    Says after each query how many images it counts as.

    Args:
        index: of the generation.
        sample: of its images.
        pace: images a second that the searches return.
        stop: ends it early; then the lines tell of fewer queries than they say.

    Raises:
        PartUnavailable: the index did not answer.
    """
    queries = [image.vector for image in sample.images[:QUERIES] if image.vector is not None]
    asking = partial(_line, index, pace=pace, stop=stop)
    lines = [(yield from asking("all", queries, TagFilter()))]
    for share in SHARES:
        found = sample.filter_of(share)
        if found is None:
            lines.append(RecallLine(of=f"a tag of {share:.0%}", queries=0, recall=None))
            continue
        lines.append((yield from asking(found[0], queries, found[1])))
    return tuple(lines)


def _line(
    index: VectorIndex,
    of: str,
    queries: list[NDArray[np.float32]],
    tags: TagFilter,
    *,
    pace: Pace,
    stop: threading.Event,
) -> Generator[int, None, RecallLine]:
    found = wanted = 0
    for vector in until(stop, queries):
        pace.wait(ASKED)
        exact, graph = (
            index.search(SearchRequest(vector=vector, limit=AT, tags=tags, exact=is_exact))
            for is_exact in (True, False)
        )
        if exact:
            least = exact[-1].score - _EQUAL
            found += min(len(exact), sum(hit.score >= least for hit in graph))
            wanted += len(exact)
        yield ASKED
    return RecallLine(of=of, queries=len(queries), recall=found / wanted if wanted else None)
