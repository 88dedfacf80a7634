"""How a polled record ends: told, dead-lettered or passed over, then handed on to durability."""

from __future__ import annotations

from collections.abc import Callable

from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.records import GenerationSpec
from sightline.engine.trace_context import child_traceparent, traceparent_header, traceparent_of
from sightline.schemas.envelope import ContractError
from sightline.schemas.indexed import Lane, Outcome
from sightline.schemas.topics import IMAGES_INDEXED
from sightline.stream_workers.delivery.dead_letters import DeadLetters
from sightline.stream_workers.delivery.offsets import LaneOffsets
from sightline.stream_workers.delivery.outbox import Letter, Outbox
from sightline.stream_workers.indexing.commit import Durability, Finished
from sightline.stream_workers.indexing.lane_queue import LaneRoom
from sightline.stream_workers.indexing.outcome_events import Applied, outcome_event
from sightline.stream_workers.indexing.task import (
    ImageTask,
    Passed,
    PictureFacts,
    Polled,
    Rejection,
    location_of,
)
from sightline.stream_workers.indexing.turns import Turns


class Endings:
    """Every polled record ends here exactly once; safe from several threads.

    Args:
        spec: of the generation that is written.
        offsets: of a lane's consumer.
        resume: plans again what waited for an event that has ended.
        release_followers: plans again what waited for the bytes of one that never saw them.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        dead_letters: DeadLetters,
        durability: Durability,
        turns: Turns,
        room: LaneRoom,
        clock: Clock,
        metrics: Metrics,
        spec: Callable[[], GenerationSpec],
        offsets: Callable[[Lane], LaneOffsets],
        resume: Callable[[Polled | ImageTask], None],
        release_followers: Callable[[ImageTask], None],
    ) -> None:
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._durability = durability
        self._turns = turns
        self._room = room
        self._clock = clock
        self._metrics = metrics
        self._spec = spec
        self._offsets = offsets
        self._resume = resume
        self._release_followers = release_followers

    def applied(self, applied: Applied) -> None:
        """It reached its end: tell what became of it."""
        task = applied.task
        event = outcome_event(applied, self._spec(), self._clock.now())
        trace = child_traceparent(traceparent_of(task.message.headers))
        letter = self._outbox.send(
            IMAGES_INDEXED.name, task.image_id, event.encode(), [traceparent_header(trace)]
        )
        if not applied.repeated:
            self._metrics.stage_times(task.lane, applied.outcome, applied.times)
            if isinstance(task.verdict, Rejection) and applied.outcome is Outcome.REJECTED:
                self._metrics.rejections.labels(task.verdict.reason).inc()
            if isinstance(task.verdict, PictureFacts):
                made = "made" if task.paid else "reused"
                self._metrics.embeddings.labels(made).inc()
        self._finish(task, letter)

    def undecidable(self, task: ImageTask, stage: str, error: BaseException) -> None:
        """Something unforeseen happened to it alone."""
        reason = str(error) or type(error).__name__
        letter = self._dead_letters.send(
            task.message, stage=stage, error=type(error).__name__, reason=reason
        )
        self._metrics.outcomes.labels(task.lane, Outcome.DEAD_LETTERED).inc()
        self._release_followers(task)
        self._finish(task, letter)

    def malformed(self, polled: Polled, error: ContractError) -> None:
        """It is no image event."""
        letter = self._dead_letters.send(
            polled.message, stage="read", error=type(error).__name__, reason=str(error)
        )
        self._metrics.outcomes.labels(polled.lane, Outcome.DEAD_LETTERED).inc()
        self._finish_record(polled, letter)

    def ignore(self, polled: Polled) -> None:
        """A Kafka null: the image's tombstone has passed its retention (docs/images.md)."""
        passed = Passed(polled.key.image_id, location_of(polled.message), None)
        self._finish_record(polled, None, passed)

    def _finish_record(
        self, polled: Polled, letter: Letter | None, passed: Passed | None = None
    ) -> None:
        offsets = self._offsets(polled.lane)
        self._durability.add(
            Finished(
                ledger=polled.ledger,
                offset=polled.message.offset,
                offsets=offsets,
                passed=passed,
                letter=letter,
            )
        )
        self._room.leave(polled.lane)

    def _finish(self, task: ImageTask, letter: Letter) -> None:
        self._durability.add(
            Finished(
                ledger=task.ledger,
                offset=task.message.offset,
                offsets=self._offsets(task.lane),
                passed=task.passed(),
                letter=letter,
            )
        )
        for waiting in self._turns.leave(task):
            self._resume(waiting)
        self._room.leave(task.lane)
