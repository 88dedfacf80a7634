"""Settings in, what the commands on experiments work on out: store, record and log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_log
from sightline.engine.ports import Clock, EventLog, ObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.settings import Settings
from sightline.infra.commands.label_store import opened_store


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
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """With the object store; the log is opened by what needs it.

        Raises:
            RefusedToStart: the store is a directory that no process has made yet.
        """
        with opened_store(settings) as store:
            yield cls(settings, store, ServingRecord.of(settings, store), SystemClock())

    def log(self) -> EventLog:
        """The log, opened to be read; raises as `open_event_log`."""
        return open_event_log(self.settings)
