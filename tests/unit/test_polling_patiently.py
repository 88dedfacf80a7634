"""An empty poll is no answer of a broker that is away."""

from __future__ import annotations

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.stream_workers.delivery.retries import Patience, UsualDelays


def test_an_empty_poll_does_not_bring_a_broker_back() -> None:
    """While it counts as down it is asked; its answer, or a record, says that it is up again."""
    health = Health(ManualClock())
    patience = Patience(
        UsualDelays(backoff_initial_s=0.001, backoff_max_s=0.001), health, Metrics()
    )
    asked: list[bool] = []

    def ask() -> None:
        asked.append(health.is_up(Part.BROKER))
        if len(asked) < 3:
            raise PartUnavailable(Part.BROKER, "still away")

    assert patience.polled(list, ask) == []
    assert asked == [], "a broker that counts as up is not asked at every empty poll"
    health.down(Part.BROKER, "gone")
    assert patience.polled(list, ask) == []
    assert asked == [False, False, False]
    assert health.is_up(Part.BROKER)
    health.down(Part.BROKER, "gone")
    assert patience.polled(lambda: ["record"], ask) == ["record"]
    assert health.is_up(Part.BROKER)
    assert len(asked) == 3
