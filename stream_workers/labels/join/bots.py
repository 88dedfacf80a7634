"""Which actors of an epoch are no people (docs/labels.md, 9)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sightline.schemas.labels import Verdict
from sightline.stream_workers.labels.join.counting import Counted
from sightline.stream_workers.labels.rules import LabelRules

PERCENT = 100


@dataclass(slots=True)
class Activity:
    """What one actor did in one epoch."""

    acts: int = 0
    shown: int = 0
    clicked: int = 0

    def add(self, counted: Counted) -> None:
        """Add one search."""
        clicked = {act.item.image_id for act in counted.acts if act.item.kind == "clicked"}
        self.acts += sum(act.item.kind != "viewed" for act in counted.acts)
        self.shown += len(counted.page)
        self.clicked += len(clicked)

    def verdict(self, rules: LabelRules) -> str:
        """Person or bot."""
        if self.acts > rules.bot_acts:
            return Verdict.TOO_MANY.value
        covered = self.clicked * PERCENT > rules.bot_coverage_percent * self.shown
        if self.shown >= rules.bot_coverage_shown and covered:
            return Verdict.TOO_COMPLETE.value
        return Verdict.PERSON.value


def verdicts(searches: Iterable[Counted], rules: LabelRules) -> dict[str, str]:
    """The verdict on every actor with a search in the epoch."""
    activity: dict[str, Activity] = {}
    for counted in searches:
        if counted.impression is not None:
            actor = counted.impression.page.actor_id
            activity.setdefault(actor, Activity()).add(counted)
    return {actor: done.verdict(rules) for actor, done in activity.items()}
