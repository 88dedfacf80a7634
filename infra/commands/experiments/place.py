"""Settings in, what the commands on experiments work on out: store, record and log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_log
from sightline.engine.ports import Clock, EventLog, ObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.settings import Settings
from sightline.infra.commands.rollout import tell_steps


@dataclass(frozen=True, slots=True)
class ExperimentPlace:
    """Where one deployment keeps its experiments, and what it tells of them."""

    settings: Settings
    """Where the log is, and the rules by which epochs close."""
    store: ObjectStore
    record: ServingRecord
    """What serves, and which experiment runs."""
    clock: Clock
    """The time at which something is started or stopped."""

    @classmethod
    def of(cls, settings: Settings, store: ObjectStore) -> Self:
        """Over a store of these settings; the log is opened by what needs it."""
        return cls(settings, store, ServingRecord.of(settings, store), SystemClock())

    def log(self) -> EventLog:
        """The log, opened to be read; raises as `open_event_log`."""
        return open_event_log(self.settings)

    def tell(self, command: str) -> str | None:
        """Tell the log of the last steps, and of the command; see `tell_steps`."""
        return tell_steps(self.settings, self.record, self.clock, command)
