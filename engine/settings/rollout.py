"""Settings of how another model comes into service, and goes again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sightline.engine.settings.section import PositiveSeconds, Section

_Share = Annotated[float, Field(ge=0, lt=1)]


class RolloutSettings(Section):
    """How another model comes into service, and goes again (docs/rollout.md)."""

    look_every_s: PositiveSeconds = 0.25
    """How often each process looks which generation serves."""
    grace_days: Annotated[float, Field(ge=0)] = 7.0
    """A generation that served is kept for so long, for a way back, before it can be dropped."""
    automatic: bool = False
    """Each process with an API (`sightline up`, `sightline api`) brings new releases of
    `retraining.model` into service by itself, one process at a time; off: a person does."""
    experiment_share: _Share = 0.5
    """So many of the actors get a model by itself before all do; 0: there is no experiment."""
    experiment_max_days: Annotated[float, Field(gt=0)] = 14.0
    """An experiment that has decided nothing ends after so long, and the model serves."""
    report_every_s: PositiveSeconds = 600.0
    """How often a roll-out by itself looks what its experiment has come to: a report reads the log
    from the experiment's beginning."""
    watch_s: PositiveSeconds = 86_400.0
    """A model that came into service by itself is watched for so long …"""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """… and goes again where errors, freshness or clicks are so much worse than before."""
