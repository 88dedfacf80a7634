"""What `sightline retrain` does: at once, or in processes that a watch starts when it is due."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading

from sightline.engine.clock import SystemClock
from sightline.engine.errors import SightlineError
from sightline.engine.logs import configure_logs
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.learning.retraining_work import TrainingWork
from sightline.infra.commands.opened_store import opened_store
from sightline.infra.supervision.child_process import end_with_parent, leave, read_line
from sightline.infra.supervision.metrics_port import serve_metrics
from sightline.infra.wiring.retraining import lease_of, record_of, triples_of, watch_of
from sightline.training.retraining.retraining import Retraining, Work

_log = logging.getLogger(__name__)
_POLITE = 10
"""What works beside the process that answers searches lets it go first."""


def retraining_of(
    settings: Settings, store: ObjectStore, work: Work, *, clock: Clock
) -> Retraining:
    """Builds the retraining of the deployment's one model around what does its steps."""
    return Retraining(
        record_of(settings, store),
        triples_of(settings, store, clock),
        work,
        lease=lease_of(settings, store, clock),
        settings=settings.retraining,
        clock=clock,
    )


def retrain_once(settings: Settings, stop: threading.Event, *, now: bool = False) -> bool:
    """Do what is due, unless another process does; whether anything was.

    Args:
        settings: of the deployment, in either mode.
        stop: leaves what is not begun to the next process.
        now: begin an attempt whatever has come.

    Raises:
        RefusedToStart: the store is a directory that no process has made yet.
        PartUnavailable: broker or store did not answer; a repeat goes on.
        Conflict: another process took over meanwhile.
    """
    clock = SystemClock()
    with opened_store(settings) as store:
        work = TrainingWork(settings=settings, store=store, clock=clock)
        return retraining_of(settings, store, work, clock=clock).look(stop, asked=now)


def watch_retraining(settings: Settings, stop: threading.Event) -> None:
    """Retrain whenever it is due, until `stop`, each time in a child process.

    Raises:
        RefusedToStart: the store is a directory that no process has made yet.
    """
    configure_logs()
    metrics, port = Metrics(), settings.retraining.metrics_port
    serve_metrics(metrics, port, setting="retraining.metrics_port")
    with opened_store(settings) as store:
        watch_of(settings, store, clock=SystemClock(), metrics=metrics).run(stop)


def main() -> None:
    """Does what is due once, as a child process of a watch."""
    told = json.loads(read_line(sys.stdin.fileno()))
    settings = Settings(**told["settings"])
    configure_logs(told["log_level"])
    end_with_parent(sys.stdin.fileno())
    os.nice(_POLITE)
    leave(lambda: _once(settings))


def _once(settings: Settings) -> None:
    try:
        retrain_once(settings, threading.Event())
    except SightlineError as error:
        _log.warning("the retraining waits: %s", error)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
