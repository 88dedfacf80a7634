"""Settings in, how good a head is that was trained with them out: a number to make larger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.engine.embedding.projections import AnyProjection, Projection
from sightline.engine.errors import SettingsInvalid
from sightline.training.datasets.features import PictureFeatures
from sightline.training.evaluation.click_truth import (
    PictureQueries,
    clicks_as_truth,
    score_by_clicks,
)
from sightline.training.evaluation.query_sample import at_most
from sightline.training.loop.learning import HeldBack, LearningSettings, hold_back
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.training import train_head

MEASURE = "ndcg@24"
STRENGTH = 0.6
_OTHER_KINDS = 1
"""Added to the seed: the kinds that judge here are not those that judge the release."""


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """Trains on a part of what may teach, and asks by clicks on the rest of it."""

    kept: HeldBack
    """Those of the pairs that may teach which do so here, and the others."""
    features: PictureFeatures
    """Features of the pictures that may teach, which are also what is searched in."""
    start: Projection
    queries: PictureQueries

    @classmethod
    def of(
        cls,
        kept: HeldBack,
        features: PictureFeatures,
        start: Projection,
        settings: LearningSettings,
        labels: Sequence[str | None],
        *,
        most: int,
    ) -> Judging:
        """Hold back once more, from what a training of `settings` learns from.

        Args:
            kept: what that training holds back; none of it is looked at.
            features: of all pictures.
            start: the projection that clicks improve upon.
            settings: of that training.
            labels: what each picture shows, where it is known.
            most: so many queries judge at most.

        Raises:
            SettingsInvalid: there are too few pairs for both.
        """
        teaching = features.chosen(kept.held_out.teaches)
        shown = [labels[row] for row in np.flatnonzero(kept.held_out.teaches).tolist()]
        pairs = kept.pairs.chosen(kept.trained_on)
        seed = settings.head.seed + _OTHER_KINDS
        again = replace(settings, head=replace(settings.head, seed=seed))
        inner = hold_back(pairs, teaching, start, again, shown)
        later = inner.time.later & ~inner.trained_on
        every = clicks_as_truth(inner.pairs, inner.held_out, later)
        queries = at_most(every, most, seed=seed)
        if not len(queries.anchors) or not inner.trained_on.any():
            raise SettingsInvalid(
                "there are too few clicks to tune by: some must teach, and others judge"
            )
        return cls(inner, teaching, start, queries)

    def __call__(self, settings: HeadSettings) -> float:
        """Mean nDCG@24 of a head at strength .6, over clicked and unclicked kinds alike."""
        trained = train_head(
            self.kept.pairs.chosen(self.kept.trained_on),
            self.features.chosen(self.kept.held_out.teaches),
            self.start,
            settings,
        )
        return self.quality(trained.head.projection(STRENGTH))

    def quality(self, projection: AnyProjection) -> float:
        """The mean of two means: over kinds that taught, and over kinds that did not."""
        scores = score_by_clicks(self.features, projection, self.queries)
        clicked = self.queries.groups.clicked
        parts = [scores.at(mask) for mask in (clicked, ~clicked) if mask.any()]
        return float(np.mean([part.means()[MEASURE] for part in parts]))
