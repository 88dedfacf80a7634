"""Hits in, a page out: small policies take results out, and say why; the page is refilled.

Visibility is not one of them: it is inside the index read, where it cannot be forgotten, and what
it hides is never counted (docs/api.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple, Protocol

from sightline.engine.pictures.near_duplicates import hash_bits, near_any
from sightline.engine.records import Hit, IndexedImage
from sightline.schemas.searches import Team

MAX_PASSED = 1_000
"""Images that one page may pass over one by one: those that an older release put in no cluster."""
SPARE_ROUNDS = 8
"""Rounds beyond one a result; a round nearly always adds a result, or ends the search."""
SLACK = 4
"""Hits beyond the page at first, with an eighth of it; more are rarely needed, and cost time."""


class LookedAt(NamedTuple):
    """What a page has already looked at, and need not be shown again."""

    clusters: frozenset[str] = frozenset()
    image_ids: frozenset[str] = frozenset()
    """Images passed over one by one: nothing of their cluster was left out, or they have none."""


_SAME_SCORE = 1e-4
"""Equal pictures have equal vectors; their scores differ by rounding at most."""

Fetch = Callable[[int, LookedAt], list[Hit]]
"""The nearest `n` hits beyond what is passed, in stable order."""


class Policy(Protocol):
    """Decides on one candidate, in order of score, knowing what it has kept so far."""

    reason: str
    """What `removed` calls it."""
    at_last: bool
    """Whether what it takes out may be shown where nothing else is found in bounded time."""

    def takes_out(self, candidate: IndexedImage) -> bool:
        """Whether the candidate is to be left out of the page."""

    def keeps(self, candidate: IndexedImage) -> None:
        """Tells the policy that the candidate is on the page."""


@dataclass(slots=True)
class ExactDuplicates:
    """One picture once, however many ids it was uploaded under."""

    reason: str = "duplicate"
    at_last: bool = False
    _seen: set[str] = field(default_factory=set)

    def takes_out(self, candidate: IndexedImage) -> bool:
        """Whether a result on the page has the candidate's very bytes."""
        return candidate.content_sha256 in self._seen

    def keeps(self, candidate: IndexedImage) -> None:
        """Remembers the bytes of a result on the page, by their hash."""
        if candidate.content_sha256 is not None:
            self._seen.add(candidate.content_sha256)


@dataclass(slots=True)
class NearDuplicateFilter:
    """Keeps, of pictures that look the same, the one nearest to the query."""

    bits: int
    reason: str = "near_duplicate"
    at_last: bool = True
    _seen: list[int] = field(default_factory=list)

    def takes_out(self, candidate: IndexedImage) -> bool:
        """Whether its hash is within `bits` of one on the page; a flat picture is never near."""
        mine = hash_bits(candidate.perceptual_hash)
        return mine != 0 and near_any(mine, self._seen, bits=self.bits)

    def keeps(self, candidate: IndexedImage) -> None:
        """Remember its hash, which is on the page from now on."""
        mine = hash_bits(candidate.perceptual_hash)
        if mine:
            self._seen.append(mine)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPage:
    """The results of one page, and how many were taken out why."""

    hits: tuple[Hit, ...]
    removed: dict[str, int]
    """Counts by reason, of those that were looked at above the last result: a cluster of many
    copies is passed over whole, once some of it were."""
    teams: tuple[Team | None, ...] = ()
    """Whose each result is, on a page that two rankings filled; empty: it is one ranking's."""
    explored: bool = False
    """Whether chance had a part in the order."""


def duplicate_policies(*, bits: int, anchor: IndexedImage | None) -> list[Policy]:
    """Collapse duplicates; an anchor that is indexed stands for its own, as if it led the page."""
    policies: list[Policy] = [ExactDuplicates(), NearDuplicateFilter(bits)]
    if anchor is not None:
        for policy in policies:
            policy.keeps(anchor)
    return policies


First = Callable[[str], Sequence[IndexedImage]]
"""The images of a cluster that were there first, earliest first."""


def page_of(fetch: Fetch, limit: int, policies: Sequence[Policy], first: First) -> RankedPage:
    """The first `limit` hits that every policy leaves in.

    While the page is not full, clusters of which something was left out are passed over whole, so
    that the time does not grow with the number of copies: at most `limit` + 8 fetches, and one call
    of `first` a cluster that is on the page and has been passed over. Where so many find too few,
    as among thousands of look-alikes of the anchor that are none of each other, the page is filled
    with those, one of each cluster: it is never empty because too much was found.

    Args:
        limit: results wanted.
        fetch: the nearest so many beyond what has been looked at.
        policies: none: the nearest as they are.
        first: of a cluster that has copies on the page: among equal pictures the first published
            stays, whoever copied it and under whatever id.
    """
    if not policies:
        return RankedPage(hits=tuple(fetch(limit, LookedAt())), removed={})
    picking, passed, are_all = _Picking(limit, policies), LookedAt(), False
    wanted = limit + SLACK + limit // 8
    for _ in range(limit + SPARE_ROUNDS):
        hits = fetch(wanted, passed)
        missed, are_all = picking.missing, len(hits) < wanted
        picking.take(hits, are_all=are_all)
        if not picking.missing or are_all:
            break
        # As many copies of each as there just were; never so many that reading them costs more.
        copies = len(hits) / max(1, missed - picking.missing)
        wanted = min(round(picking.missing * copies) + SLACK + limit // 8, 2 * (limit + SLACK))
        passed = _beyond(passed, hits, picking.crowded)
        if len(passed.image_ids) > MAX_PASSED:
            break
    if not are_all:
        picking.fill_up()
    kept = picking.kept
    if picking.crowded:
        first_once = cache(first)
        kept = [_first_published(hit, picking, first_once) for hit in kept]
    return RankedPage(hits=tuple(kept), removed=dict(+picking.removed))


def _first_published(hit: Hit, picking: _Picking, first: First) -> Hit:
    """The first of equal pictures; the index is asked only where it may know more of them."""
    mine = hit.image
    if mine.cluster is None or mine.cluster not in picking.crowded:
        return hit
    if mine.image_id in picking.among:
        near = (one.image for one in picking.among[mine.image_id])
        return replace(hit, image=min(_equals(mine, near), key=_published))
    return replace(hit, image=next(_equals(mine, first(mine.cluster)), mine))


def _beyond(passed: LookedAt, hits: Sequence[Hit], crowded: Collection[str]) -> LookedAt:
    """Pass over clusters of which something was left out, and else over the images alone."""
    alone = {hit.image.image_id for hit in hits if hit.image.cluster not in crowded}
    return LookedAt(frozenset(crowded), passed.image_ids | alone)


def _equals(mine: IndexedImage, images: Iterable[IndexedImage]) -> Iterator[IndexedImage]:
    return (image for image in images if image.content_sha256 == mine.content_sha256)


def _published(image: IndexedImage) -> tuple[float, str]:
    """What was indexed before its time was kept came first."""
    return (0.0 if image.since is None else image.since.timestamp()), image.image_id


class _Picking:
    """A page while it is being filled."""

    def __init__(self, limit: int, policies: Sequence[Policy]) -> None:
        self._limit = limit
        self._policies = policies
        self.kept: list[Hit] = []
        self.removed: Counter[str] = Counter()
        self.crowded: set[str] = set()
        """Clusters of which something was left out."""
        self.among: dict[str, Sequence[Hit]] = {}
        """The hits that a result was found with, where all of its equals were among them."""
        self._at_last: dict[str, tuple[Hit, str]] = {}
        """By cluster: the nearest that was left out and may be shown at last, and why it was."""

    @property
    def missing(self) -> int:
        """Counts the results that are still needed to fill the page."""
        return self._limit - len(self.kept)

    def take(self, hits: Sequence[Hit], *, are_all: bool) -> None:
        """Keep or count each hit, in order, until the page is full.

        Args:
            hits: the nearest that are left.
            are_all: whether none are left beyond them.
        """
        edge = -math.inf if are_all else hits[-1].score + _SAME_SCORE
        for hit in hits:
            if not self.missing:
                return
            against = next((p for p in self._policies if p.takes_out(hit.image)), None)
            if against is not None:
                self._leave_out(hit, against)
                continue
            for policy in self._policies:
                policy.keeps(hit.image)
            self.kept.append(hit)
            if hit.score > edge:
                self.among[hit.image.image_id] = hits

    def fill_up(self) -> None:
        """Take what was left out of clusters of which nothing is on the page, the nearest first."""
        shown = {hit.image.cluster for hit in self.kept}
        spare = [one for cluster, one in self._at_last.items() if cluster not in shown]
        for hit, reason in spare[: self.missing]:
            self.kept.append(hit)
            self.removed[reason] -= 1
        self.kept.sort(key=lambda hit: -hit.score)

    def _leave_out(self, hit: Hit, against: Policy) -> None:
        self.removed[against.reason] += 1
        image = hit.image
        if image.cluster is not None:
            self.crowded.add(image.cluster)
        if against.at_last:
            alike = image.cluster or image.content_sha256 or image.image_id
            self._at_last.setdefault(alike, (hit, against.reason))
