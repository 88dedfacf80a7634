"""What a roll-out needs of the process that it runs in: to look, and to act."""

from __future__ import annotations

from typing import Protocol

from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Experiment, Serves
from sightline.schemas.models import RolloutNoted
from sightline.stream_workers.rolling_out.figures import ServingFigures
from sightline.stream_workers.rolling_out.state import ExperimentFinding, RolloutUnderWay


class RolloutSeen(Protocol):
    """What is to be looked at. All may raise `PartUnavailable`."""

    def serving(self) -> ServingState | None:
        """The record of what serves; None: nothing ever did."""

    def newest(self) -> str | None:
        """The newest release, `NAME@DIGEST`; None: there is none."""

    def differs(self, generation: str) -> str:
        """Why a generation may not serve, if it was compared and differs; else empty."""

    def finding(self, experiment: Experiment) -> ExperimentFinding | None:
        """What the experiment that runs has come to; None: it is too early to ask again."""

    def fallen(self, model: RolloutUnderWay, serving: ServingState) -> str:
        """Why the model that serves must go; empty: nothing speaks against it."""


class RolloutWork(Protocol):
    """What is done for a model; each may be repeated. All may raise `PartUnavailable`."""

    def index(self, model: str) -> str:
        """Let a generation of it be filled, unless there is one; its name."""

    def matrix(self, model: str) -> Serves | None:
        """How it can serve at once on the vectors that do; None: by no matrix on the query."""

    def compare(self, model: RolloutUnderWay, to: Serves) -> Experiment:
        """Start its experiment, unless it runs; tell the log.

        Args:
            model: whose it is.
            to: its treatment.
        """

    def stop(self, experiment: Experiment, finding: ExperimentFinding) -> None:
        """End its experiment, unless it has ended; tell the log."""

    def measure(self) -> ServingFigures:
        """Measure what serves now, to hold the model against it."""

    def switch(self, to: Serves) -> None:
        """Let this serve from now on, in every process; tell the log."""

    def roll_back(self, model: RolloutUnderWay, reason: str) -> None:
        """Let serve what served before, unless the model serves no more; tell the log."""

    def tell(self, noted: RolloutNoted) -> None:
        """Tell the log; a repeat is the same event."""
