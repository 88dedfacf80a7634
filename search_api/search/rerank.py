"""Hits in, a page out: small policies take results out, and say why; the page is refilled.

Visibility is not one of them: it is inside the index read, where it cannot be forgotten, and what
it hides is never counted (docs/api.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sightline.engine.pictures.near_duplicates import hash_bits, near_any
from sightline.engine.records import Hit, IndexedImage

MAX_FETCHED = 1_000
"""Most hits that one page is picked from."""
SLACK = 4
"""Hits beyond the page at first, with an eighth of it; more are rarely needed, and cost time."""

Fetch = Callable[[int], list[Hit]]
"""The nearest `n` hits, in stable order."""


class Policy(Protocol):
    """Decides on one candidate, in order of score, knowing what it has kept so far."""

    reason: str
    """What `removed` calls it."""

    def takes_out(self, candidate: IndexedImage) -> bool:
        """Whether the candidate is left out."""

    def keeps(self, candidate: IndexedImage) -> None:
        """The candidate is on the page."""


@dataclass(slots=True)
class ExactDuplicates:
    """One picture once, however many ids it was uploaded under."""

    reason: str = "duplicate"
    _seen: set[str] = field(default_factory=set)

    def takes_out(self, candidate: IndexedImage) -> bool:
        """Same bytes as something kept."""
        return candidate.content_sha256 in self._seen

    def keeps(self, candidate: IndexedImage) -> None:
        """Its bytes are on the page."""
        if candidate.content_sha256 is not None:
            self._seen.add(candidate.content_sha256)


@dataclass(slots=True)
class NearDuplicates:
    """Of pictures that look the same, the nearest to the query."""

    bits: int
    reason: str = "near_duplicate"
    _seen: list[int] = field(default_factory=list)

    def takes_out(self, candidate: IndexedImage) -> bool:
        """Within `bits` of something kept; flat pictures (all-zero hashes) are never near."""
        mine = hash_bits(candidate.perceptual_hash)
        return mine != 0 and near_any(mine, self._seen, bits=self.bits)

    def keeps(self, candidate: IndexedImage) -> None:
        """Its hash is on the page."""
        mine = hash_bits(candidate.perceptual_hash)
        if mine:
            self._seen.append(mine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of results."""

    hits: tuple[Hit, ...]
    removed: dict[str, int]
    """Counts by reason, of those above the last result only: no count depends on over-fetching."""


def duplicate_policies(*, bits: int, anchor: IndexedImage | None) -> list[Policy]:
    """Collapse duplicates; an anchor that is indexed stands for its own, as if it led the page."""
    policies: list[Policy] = [ExactDuplicates(), NearDuplicates(bits)]
    if anchor is not None:
        for policy in policies:
            policy.keeps(anchor)
    return policies


def page_of(fetch: Fetch, limit: int, policies: Callable[[], Sequence[Policy]]) -> Page:
    """The first `limit` hits that every policy leaves in, fetching more until the page is full.

    Args:
        limit: results wanted.
        fetch: the nearest so many; asked again for more while the page is not full.
        policies: made anew for each pass, since they remember what they kept.
    """
    chain = policies()
    wanted = limit + (SLACK + limit // 8 if chain else 0)
    while True:
        hits = fetch(wanted)
        page = _pick(hits, limit, chain)
        if len(page.hits) == limit or len(hits) < wanted or wanted >= MAX_FETCHED:
            return page
        wanted, chain = min(4 * wanted, MAX_FETCHED), policies()


def _pick(hits: Sequence[Hit], limit: int, policies: Sequence[Policy]) -> Page:
    kept: list[Hit] = []
    removed: Counter[str] = Counter()
    for hit in hits:
        reason = next((p.reason for p in policies if p.takes_out(hit.image)), None)
        if reason is not None:
            removed[reason] += 1
            continue
        for policy in policies:
            policy.keeps(hit.image)
        kept.append(hit)
        if len(kept) == limit:
            break
    return Page(hits=tuple(kept), removed=dict(removed))
