"""What the commands on generations do: each is one step of the record, told to the log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Self

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_log_producer
from sightline.engine.errors import RefusedToStart, TransientError
from sightline.engine.event_log.acknowledged import acknowledged
from sightline.engine.ports import Clock, ObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.telling import tell
from sightline.engine.serving.values import Serves
from sightline.engine.settings import Settings
from sightline.infra.commands.operator_act import operator_act


class Rollout:
    """Changes what serves in one deployment; its processes follow by themselves.

    Args:
        settings: of the deployment, in either mode.
        record: what serves there.
        clock: stamps the steps.
    """

    def __init__(self, settings: Settings, record: ServingRecord, clock: Clock) -> None:
        self._settings = settings
        self.record = record
        self._clock = clock

    @classmethod
    def of(cls, settings: Settings, store: ObjectStore) -> Self:
        """Over a store of these settings that is open already."""
        return cls(settings, ServingRecord.of(settings, store), SystemClock())

    def state(self) -> ServingState:
        """What serves, and what may.

        Raises:
            NotFound: nothing ever served.
            Unreadable, PartUnavailable: as `ServingRecord.read`.
        """
        return self.record.read().state

    def switch(
        self, to: Serves | Callable[[ServingState], Serves | None], reason: str
    ) -> ServingState:
        """Let something else serve, in every process.

        Args:
            to: what is to serve, or what says so of the state that is changed, again where somebody
                else changed it meanwhile; None, or what serves: nothing is changed.
            reason: for those who look later.

        Raises:
            Conflict: it is not ready, or serves already, or an experiment runs.
            NotFound, Unreadable, PartUnavailable: as `state`.
        """

        def step(state: ServingState) -> ServingState:
            if isinstance(to, Serves):
                return state.switched(to, self._clock.now(), reason)
            wanted = to(state)
            if wanted is None or wanted == state.serves:
                return state
            return state.switched(wanted, self._clock.now(), reason)

        return self.record.change(step)

    def rollback(self, reason: str) -> ServingState:
        """Let serve again what served before; an experiment ends.

        Raises:
            Conflict: nothing served before.
            NotFound, Unreadable, PartUnavailable: as `state`.
        """
        return self.record.change(lambda state: state.rolled_back(self._clock.now(), reason))

    def drop(self, name: str) -> None:
        """Forget a generation that serves nobody; a process with the index removes it.

        Raises:
            Conflict: it serves, or did within its grace.
            NotFound, Unreadable, PartUnavailable: as `state`.
        """
        grace = timedelta(days=self._settings.rollout.grace_days)
        self.record.change(lambda state: state.dropped(name, self._clock.now(), grace))

    def tell(self, command: str) -> str | None:
        """Tell the log of the last steps, and of the command; see `tell_steps`."""
        return tell_steps(self._settings, self.record, self._clock, command)


def tell_steps(settings: Settings, record: ServingRecord, clock: Clock, command: str) -> str | None:
    """Tell the log of the last steps, and the audit of the command that made them.

    A process that feeds the index tells of steps that stay untold; who made them is then in the
    command's own log only.

    Args:
        settings: where the log is.
        record: has the steps.
        clock: the time.
        command: that was carried out, such as `sightline switch g-2`.

    Returns:
        Why it could not be told, or None.
    """
    act = operator_act(command, clock.now())
    timeout_s = settings.kafka.delivery_timeout_s
    try:
        with closing(open_log_producer(settings)) as producer:
            acted = producer.append(act)
            tell(record, producer, timeout_s=timeout_s)
            acknowledged(acted, timeout_s)
    except (RefusedToStart, TransientError) as error:
        return str(error)
    return None
