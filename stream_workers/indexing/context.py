"""What every stage of the index worker is given besides its own parts."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.stream_workers.delivery.retries import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """How a stage waits out what is down, what time it is there, and where it counts."""

    patience: Patience
    clock: Clock
    metrics: Metrics
