"""Which actors of an epoch are no people, and how much each of them did (docs/labels.md, 9)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sightline.schemas.labels import Verdict
from sightline.stream_workers.labels.join.counting import Counted
from sightline.stream_workers.labels.rules import LabelRules

PERCENT = 100


class ActorOfEpoch(NamedTuple):
    """What the searches of an actor are closed with."""

    verdict: str
    pairs: int
    """Distinct (anchor, image) pairs that the actor acted upon."""


@dataclass(slots=True)
class Activity:
    """What one actor did in one epoch: clicks, likes, shares and conversions."""

    acts: int = 0
    shown: int = 0
    chosen: int = 0
    """(Search, image) pairs with at least one act."""
    pairs: set[tuple[str, str]] = field(default_factory=set)

    def add(self, anchor_id: str, counted: Counted) -> None:
        """Count the acts on one page, and the images that it showed."""
        self.shown += len(counted.page)
        acts = [act.item.image_id for act in counted.acts if act.item.kind != "viewed"]
        if acts:
            chosen = set(acts)
            self.acts += len(acts)
            self.chosen += len(chosen)
            self.pairs.update([(anchor_id, image_id) for image_id in chosen])

    def judged(self, rules: LabelRules) -> ActorOfEpoch:
        """Judges the actor by the rules' thresholds, and counts the pairs that it acted on."""
        return ActorOfEpoch(self._verdict(rules), len(self.pairs))

    def _verdict(self, rules: LabelRules) -> str:
        if self.acts > rules.bot_acts:
            return Verdict.TOO_MANY.value
        covered = self.chosen * PERCENT > rules.bot_coverage_percent * self.shown
        if self.shown >= rules.bot_coverage_shown and covered:
            return Verdict.TOO_COMPLETE.value
        return Verdict.PERSON.value


def actors_of(searches: Iterable[Counted], rules: LabelRules) -> dict[str, ActorOfEpoch]:
    """Every actor with a search in the epoch."""
    activity: dict[str, Activity] = {}
    for counted in searches:
        if counted.impression is not None:
            page = counted.impression.page
            activity.setdefault(page.actor_id, Activity()).add(page.anchor_id, counted)
    return {actor: done.judged(rules) for actor, done in activity.items()}
