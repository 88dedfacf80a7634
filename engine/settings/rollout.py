"""Settings of how another model comes into service, and goes again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sightline.engine.settings.section import PositiveSeconds, Section


class RolloutSettings(Section):
    """How another model comes into service, and goes again (docs/rollout.md)."""

    look_every_s: PositiveSeconds = 0.25
    """How often each process looks which generation serves."""
    grace_days: Annotated[float, Field(ge=0)] = 7.0
    """A generation that served is kept for so long, for a way back, before it can be dropped."""
