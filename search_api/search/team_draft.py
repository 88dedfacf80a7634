"""Two rankings in, one page out that both filled in turn, and whose each result is.

Team draft, of F. Radlinski, M. Kurup, T. Joachims, "How Does Clickthrough Data Reflect Retrieval
Quality?" (CIKM 2008), algorithm 2: as in a game between friends, a coin says who chooses first in
each round, and each chooses its best result that is not on the page. A click then is a vote for the
side that chose. Equal rankings win equally often, wherever on a page people click.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from sightline.engine.records import Hit
from sightline.schemas.searches import Team
from sightline.search_api.search.rerank import Policy, RankedPage

SPARE = 4
"""Results of either ranking beyond a page: look-alikes of the other's results leave gaps."""


def interleaved(
    control: RankedPage,
    treatment: RankedPage,
    *,
    limit: int,
    search_id: str,
    policies: Sequence[Policy],
) -> RankedPage:
    """One page of both rankings; the same for the same search id.

    Args:
        control: its ranking by itself, some results longer than the page.
        treatment: the other one.
        limit: results on the page.
        search_id: the coins are the bits of its SHA-256.
        policies: fresh ones, which take a look-alike of the other ranking's results out.
    """
    draft = _Draft(limit, policies)
    sides = {
        Team.CONTROL: iter(control.hits),
        Team.TREATMENT: iter(treatment.hits),
    }
    for first in _first_of_each_round(search_id, limit):
        second = Team.CONTROL if first is Team.TREATMENT else Team.TREATMENT
        if not (draft.choose(sides[first], first) and draft.choose(sides[second], second)):
            break
    for side in sides.values():
        # What one ranking has left when the other has nothing more is a vote for neither.
        while draft.choose(side, None):
            pass
    reasons = control.removed.keys() | treatment.removed.keys() | draft.removed.keys()
    return RankedPage(
        hits=tuple(draft.hits),
        removed={
            reason: max(control.removed.get(reason, 0), treatment.removed.get(reason, 0))
            + draft.removed[reason]
            for reason in sorted(reasons)
        },
        teams=tuple(draft.teams),
    )


def _first_of_each_round(search_id: str, rounds: int) -> Iterator[Team]:
    """At most 256 rounds, more than a page has results."""
    bits = int.from_bytes(sha256(search_id.encode()).digest())
    for number in range(min(rounds, 256)):
        yield Team.TREATMENT if bits >> number & 1 else Team.CONTROL


@dataclass(slots=True)
class _Draft:
    """A page while it is being filled."""

    limit: int
    policies: Sequence[Policy]
    hits: list[Hit] = field(default_factory=list)
    teams: list[Team | None] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    _ids: set[str] = field(default_factory=set)

    def choose(self, side: Iterator[Hit], team: Team | None) -> bool:
        """Add a side's best result that may stand there; false: none is left, or no room."""
        if len(self.hits) >= self.limit:
            return False
        for hit in side:
            if hit.image.image_id in self._ids:
                continue
            reason = next((p.reason for p in self.policies if p.takes_out(hit.image)), None)
            if reason is not None:
                self.removed[reason] += 1
                continue
            for policy in self.policies:
                policy.keeps(hit.image)
            self._ids.add(hit.image.image_id)
            self.hits.append(hit)
            self.teams.append(team)
            return True
        return False
