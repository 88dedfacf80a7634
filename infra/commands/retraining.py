"""The retraining as a process: `sightline retrain`, and the child of `sightline up`."""

from __future__ import annotations

import json
import os
import sys
import threading

from sightline.engine.clock import SystemClock
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.logs import configure_logs
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.lease import Lease
from sightline.engine.ports import Clock, ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.label_store import opened_store
from sightline.infra.commands.retraining_work import SinkTriples, TrainingWork
from sightline.infra.supervision.child_process import end_with_parent, leave, read_line
from sightline.infra.supervision.metrics_port import serve_metrics, serve_metrics_if_free
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.training.retraining.retraining import Retraining, Work
from sightline.training.retraining.state import RetrainingRecord, lease_key

_PORT = "retraining.metrics_port"
_POLITE = 10
"""A child of the process that answers searches lets it go first."""


def retraining_of(
    settings: Settings, store: ObjectStore, work: Work, *, clock: Clock, metrics: Metrics
) -> Retraining:
    """Builds the retraining of the deployment's one model around what does its steps."""
    wanted, bucket = settings.retraining, settings.store.bucket
    return Retraining(
        RetrainingRecord(store, bucket, wanted.model),
        SinkTriples(TripleManifest(store, bucket, TRAINING_TRIPLES.name), clock),
        work,
        lease=Lease(store, bucket, lease_key(wanted.model), lasts_s=wanted.lease_s, clock=clock),
        settings=wanted,
        clock=clock,
        metrics=metrics,
    )


def run_retraining(
    settings: Settings, stop: threading.Event, *, once: bool = False, now: bool = False
) -> bool:
    """Retrain by itself until `stop`.

    Args:
        settings: of the deployment, in either mode.
        stop: leaves what is not begun to the next process.
        once: do what is due, and end.
        now: begin an attempt whatever has come, and end with it.

    Returns:
        Whether anything was due, with `once` or `now`.

    Raises:
        RefusedToStart: the store is a directory that no process has made yet.
    """
    configure_logs()
    metrics = Metrics()
    if not once and not now:
        serve_metrics(metrics, settings.retraining.metrics_port, setting=_PORT)
    return _run(settings, stop, metrics, once=once, now=now)


def _run(
    settings: Settings,
    stop: threading.Event,
    metrics: Metrics,
    *,
    once: bool = False,
    now: bool = False,
) -> bool:
    clock = SystemClock()
    with opened_store(settings) as store:
        work = TrainingWork(settings=settings, store=store, clock=clock)
        made = retraining_of(settings, store, work, clock=clock, metrics=metrics)
        if once or now:
            return made.look(stop, asked=now)
        made.run(stop)
    return True


def main() -> None:
    """Runs the retraining as a child process of `wiring.retraining`."""
    told = json.loads(read_line(sys.stdin.fileno()))
    settings = Settings(**told["settings"])
    configure_logs(told["log_level"])
    end_with_parent(sys.stdin.fileno())
    os.nice(_POLITE)
    metrics, port = Metrics(), settings.retraining.metrics_port
    serve_metrics_if_free(metrics, port, setting=_PORT, host=settings.api.host)
    leave(lambda: _run(settings, threading.Event(), metrics))


if __name__ == "__main__":
    main()
