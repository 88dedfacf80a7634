"""Somebody who wants images to be found for anchors that they do not answer.

Below every bot threshold on purpose: patient, never everything on a page (docs/simulator.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from sightline.producers.click_simulator.catalogue import SimulatedPicture
from sightline.producers.click_simulator.user_model import Visit, VisitorAct
from sightline.schemas.interactions import Kind
from sightline.schemas.searches import ShownImage

VIEW_MS = 1_500


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What the attacker does, on pages of one anchor that all show the target."""

    anchor: SimulatedPicture
    target: SimulatedPicture
    """The image to be pushed, of another label; it stands last on the page."""
    share: float = 0.0
    """The part of the site's searches that are the attacker's."""
    sessions: int = 1
    """How many actors the attacker pretends to be; fresh sessions cost nothing."""
    acts: int = 1
    """On the target, in each search."""
    kind: Kind = Kind.CONVERTED
    in_the_name_of: str | None = None
    """An actor whose name the attacker uses, where the API lets it; None: sessions of its own."""

    def drawn(self, random: Random) -> Attack:
        """The attack of one search, which is always this one."""
        del random
        return self

    def actor(self, random: Random) -> str:
        """Who the attacker says that it is, this time."""
        return self.in_the_name_of or f"visitor-{random.randrange(self.sessions)}"

    def page(self, shown: Sequence[ShownImage]) -> tuple[ShownImage, ...]:
        """A ranking with the target in its last place."""
        others = [image for image in shown if image.image_id != self.target.image_id]
        last = ShownImage(
            image_id=self.target.image_id,
            position=len(shown),
            score=shown[-1].score,
            perceptual_hash=self.target.perceptual_hash,
        )
        kept = others[: len(shown) - 1]
        numbered = [
            image.model_copy(update={"position": place}) for place, image in enumerate(kept, 1)
        ]
        return (*numbered, last)

    def visit(self, shown: int) -> Visit:
        """Everything is in view, so that all the rest can be negatives; the target is wanted."""
        views = [
            VisitorAct(100, Kind.VIEWED, place, in_view_ms=VIEW_MS) for place in range(1, shown + 1)
        ]
        acts = [VisitorAct(2_000 + 10 * number, self.kind, shown) for number in range(self.acts)]
        return Visit([*views, *acts], shown)


@dataclass(frozen=True, kw_only=True)
class Sabotage:
    """A crowd that attacks everything: in each search another anchor, so that search gets worse."""

    pictures: Sequence[SimulatedPicture]
    """What the site has: anchors are drawn from it."""
    targets: Sequence[SimulatedPicture]
    """What is to be found, each where it has another label than the anchor."""
    share: float
    """The part of the site's searches that are the crowd's."""
    sessions: int
    """How many actors the crowd pretends to be."""

    def drawn(self, random: Random) -> Attack:
        """The attack of one search: an anchor and a target, each as likely as any other."""
        anchor = random.choice(self.pictures)
        wrong = [target for target in self.targets if target.label != anchor.label]
        return Attack(anchor=anchor, target=random.choice(wrong), sessions=self.sessions)
