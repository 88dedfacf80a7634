"""What happens to a record on its way: delays, repeats, records that come far too late."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, kw_only=True)
class Network:
    """The numbers of the way; delays in milliseconds, the rest probabilities."""

    delay_ms: float = 400.0
    """Mean delay; records overtake each other by it, clicks their impression too."""
    late: float = 0.02
    """The probability that a record is held back, as by a phone without a network."""
    late_ms: float = 600_000.0
    """Mean delay of those."""
    repeated: float = 0.03
    """The probability that a record is sent again."""

    def arrivals(self, sent_ms: int, random: Random) -> list[int]:
        """When the record reaches the log, once or twice."""
        times = [sent_ms + self._delay(random)]
        if random.random() < self.repeated:
            times.append(sent_ms + self._delay(random))
        return times

    def _delay(self, random: Random) -> int:
        mean = self.late_ms if random.random() < self.late else self.delay_ms
        return round(random.expovariate(1 / mean)) if mean else 0
