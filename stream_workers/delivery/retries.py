"""Transient faults are waited out: backoff, the part marked down, nothing given up but on stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from sightline.engine.backoff import FIRST_S, LONGEST_S, Backoff, retry_transient
from sightline.engine.errors import Part, PartUnavailable, TransientError
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.records import Message

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Delays(Protocol):
    """How long is waited between two attempts; `WorkerSettings` is one."""

    @property
    def backoff_initial_s(self) -> float:
        """Seconds to wait after the first failure of several."""

    @property
    def backoff_max_s(self) -> float:
        """Seconds to wait at most, after many failures."""


@dataclass(frozen=True, slots=True)
class UsualDelays:
    """The delays of loops that have no setting for them."""

    backoff_initial_s: float = FIRST_S
    backoff_max_s: float = LONGEST_S


class LogReader(Protocol):
    """What reads the log: `EventConsumer` and `LogFollower` are such."""

    def poll(self, max_messages: int, timeout_s: float) -> Sequence[Message]:
        """The records that are there within the time, or none. Raises `PartUnavailable`."""

    def ask(self) -> None:
        """Ask the broker for anything. Raises `PartUnavailable`: it does not answer."""


class GaveUp(Exception):
    """The worker is stopping; what was waited for stays undone and uncommitted."""


class Patience:
    """Repeats what fails transiently until it works or the worker gives up; tells health."""

    def __init__(self, delays: Delays, health: Health, metrics: Metrics) -> None:
        self._delays = delays
        self._health = health
        self._metrics = metrics
        self.giving_up = threading.Event()

    def backoff(self) -> Backoff:
        """Starts a new series of delays, from the shortest one."""
        return Backoff(
            initial_s=self._delays.backoff_initial_s, maximum_s=self._delays.backoff_max_s
        )

    def until_it_works(self, part: Part, action: Callable[[], T]) -> T:
        """The action's result, however long the part is away.

        Raises:
            GaveUp: the worker stops while the part is away.
        """
        waited_for = {part}
        value = self._repeated(part, action, waited_for)
        for one in waited_for:
            self._health.up(one)
        return value

    def polled(self, reader: LogReader, most: int, wait_s: float) -> Sequence[Message]:
        """What a poll of the log brings, however long the broker is away.

        Raises:
            GaveUp: the worker stops while the broker is away.
        """
        return self._repeated(Part.BROKER, partial(self.poll_once, reader, most, wait_s), set())

    def poll_once(self, reader: LogReader, most: int, wait_s: float) -> Sequence[Message]:
        """One attempt of `polled`. Raises `TransientError`: the broker is away.

        An empty poll says nothing of the broker, since one that is gone gives empty polls, too:
        while it counts as down, it is asked.
        """
        came = reader.poll(most, wait_s)
        if not came:
            if not self.is_down(Part.BROKER):
                return came
            reader.ask()
        self.worked(Part.BROKER)
        return came

    def _repeated(self, part: Part, action: Callable[[], T], waited_for: set[Part]) -> T:
        try:
            return retry_transient(
                action,
                backoff=self.backoff(),
                stop=self.giving_up,
                failed=lambda error: waited_for.add(self.failed(part, error)),
            )
        except TransientError as error:
            raise GaveUp(str(error)) from error

    def failed(self, part: Part, error: TransientError) -> Part:
        """One attempt failed: count it, mark down the part that it was about and return that."""
        down = error.part if isinstance(error, PartUnavailable) else part
        if self._health.is_up(down):
            _log.warning("waiting for a part", extra={"part": down, "reason": str(error)})
        self._health.down(down, str(error))
        self._metrics.retried(down)
        return down

    def is_down(self, part: Part) -> bool:
        """Whether the part was down when last seen."""
        return not self._health.is_up(part)

    def worked(self, part: Part) -> None:
        """Marks a part as up, since it has answered."""
        self._health.up(part)
