"""An empty poll is no answer of a broker that is away."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.engine.clock import EPOCH, ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.records import Message
from sightline.stream_workers.delivery.retries import Patience, UsualDelays


def test_an_empty_poll_does_not_bring_a_broker_back() -> None:
    """While it counts as down it is asked; its answer, or a record, says that it is up again."""
    health = Health(ManualClock())
    patience = Patience(
        UsualDelays(backoff_initial_s=0.001, backoff_max_s=0.001), health, Metrics()
    )
    asked: list[bool] = []
    came: list[Message] = []

    class Reader:
        """Says that the broker is away twice."""

        def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
            """What `came` holds."""
            assert (max_messages, timeout_s) == (64, 0.1)
            return came

        def ask(self) -> None:
            """See `LogReader.ask`."""
            asked.append(health.is_up(Part.BROKER))
            if len(asked) < 3:
                raise PartUnavailable(Part.BROKER, "still away")

    def polled() -> Sequence[Message]:
        return patience.polled(Reader(), 64, 0.1)

    assert polled() == []
    assert asked == [], "a broker that counts as up is not asked at every empty poll"
    health.down(Part.BROKER, "gone")
    assert polled() == []
    assert asked == [False, False, False]
    assert health.is_up(Part.BROKER)
    health.down(Part.BROKER, "gone")
    came.append(
        Message(topic="t", partition=0, offset=0, key=None, value=b"record", timestamp=EPOCH)
    )
    assert polled() == came
    assert health.is_up(Part.BROKER)
    assert len(asked) == 3
