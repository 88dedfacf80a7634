"""Whether others are told what the worker of a generation does (docs/adr/0024)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sightline.engine.errors import Part
from sightline.engine.health import Health, PartHealth
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.serving.state import ServingState

HANDED_OVER = timedelta(minutes=1)
"""What a generation that was left goes on telling of: more than a look, and than clocks differ."""
OF_WHAT_SERVES = frozenset(
    {
        *("freshness", "hiding", "hops", "outcomes", "rejections", "decisions"),
        *("in_flight", "queue_depth", "paused", "lag", "oldest_waiting", "nearest_similarity"),
    }
)
"""The metrics that tell how fresh searches are: mixed with a replay they would tell nothing."""


def forget_gauges(metrics: Metrics) -> None:
    """What stood for the generation that served; the one that does now sets its own."""
    for gauge in (metrics.in_flight, metrics.queue_depth, metrics.paused, metrics.lag):
        gauge.clear()
    metrics.oldest_waiting.clear()


class Voice:
    """One generation's part in what is told; safe from several threads.

    Args:
        name: of the generation.
        state: as it is now.
    """

    def __init__(self, name: str, state: ServingState) -> None:
        self._name = name
        self._serves = False
        self._until: datetime | None = None
        self.follow(state)

    def follow(self, state: ServingState) -> None:
        """Speak from now on as this state says."""
        left = state.generation(self._name).retired_at
        self._until = None if left is None else left + HANDED_OVER
        self._serves = self._name in state.in_service

    @property
    def serves(self) -> bool:
        """Whether searches are answered from the generation."""
        return self._serves

    def tells(self, appended: datetime) -> bool:
        """Whether others are told of a record that was appended then.

        Of what came before it was left, the next generation may have told nobody: it did not serve.
        """
        until = self._until
        return self._serves or (until is not None and appended < until)


class GenerationMetrics(Metrics):
    """The metrics of one generation's worker.

    What tells how fresh searches are goes to the process's while the generation serves, and else
    nowhere; all other things are the process's in any case.
    """

    def __init__(
        self, process: Metrics, voice: Voice
    ) -> None:  # no `super`: it has none of its own
        self._process = process
        self._voice = voice
        self._unheard = Metrics()

    def __getattr__(self, name: str) -> Any:
        """One metric: nothing of the kind was set here."""
        unheard = name in OF_WHAT_SERVES and not self._voice.serves
        return getattr(self._unheard if unheard else self._process, name)


class GenerationHealth(Health):
    """What one generation's worker reports of the parts of its process.

    Searches need neither the index nor the model of a generation that serves nobody: that these are
    away is no reason to answer that the process is not ready.
    """

    def __init__(self, process: Health, voice: Voice, clock: Clock) -> None:
        super().__init__(clock)
        self._process = process
        self._unheard = Health(clock)
        self._voice = voice

    def up(self, part: Part, note: str = "") -> None:
        """See `Health.up`."""
        self._to(part).up(part, note)

    def down(self, part: Part, reason: str) -> None:
        """See `Health.down`."""
        self._to(part).down(part, reason)

    def of(self, part: Part) -> PartHealth | None:
        """See `Health.of`."""
        return self._to(part).of(part)

    def _to(self, part: Part) -> Health:
        heard = self._voice.serves or part in {Part.BROKER, Part.STORE}
        return self._process if heard else self._unheard
