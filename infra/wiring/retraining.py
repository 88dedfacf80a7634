"""The watch over the retraining, wired: beside a node, or in `sightline retrain`."""

from __future__ import annotations

import json
import logging
import threading

from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.lease import Lease
from sightline.engine.ports import Clock, ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.supervision.children import ChildProcess, plain, run_child
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.node import Node
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.training.retraining.sink_triples import SinkTriples
from sightline.training.retraining.state import RetrainingRecord, retraining_lease_key
from sightline.training.retraining.watch import RetrainingWatch

MODULE = "sightline.infra.commands.learning.retraining"


def retraining_loops(node: Node) -> dict[str, Loop]:
    """The watch beside a node; none where `retraining.supervised` is off."""
    if not node.settings.retraining.supervised:
        return {}
    watch = watch_of(node.settings, node.store, clock=node.watch.clock, metrics=node.watch.metrics)
    return {"retraining": watch.run}


def watch_of(
    settings: Settings, store: ObjectStore, *, clock: Clock, metrics: Metrics
) -> RetrainingWatch:
    """A watch that lets child processes do what is due."""
    level = logging.getLevelName(logging.getLogger().level)
    # Killed at once where the watch stops: the next one goes on with what it did not finish.
    child = ChildProcess(
        name="retraining", module=MODULE, line=orders(settings, level), leaves=False
    )

    def work(stop: threading.Event) -> int | None:
        return run_child(child, stop)

    return RetrainingWatch(
        record_of(settings, store),
        triples_of(settings, store, clock),
        lease=lease_of(settings, store, clock),
        work=work,
        settings=settings.retraining,
        metrics=metrics,
    )


def record_of(settings: Settings, store: ObjectStore) -> RetrainingRecord:
    """What the retraining of the deployment's one model has come to."""
    return RetrainingRecord(store, settings.store.bucket, settings.retraining.model)


def triples_of(settings: Settings, store: ObjectStore, clock: Clock) -> SinkTriples:
    """What the sink of the deployment has written."""
    return SinkTriples(TripleManifest(store, settings.store.bucket, TRAINING_TRIPLES.name), clock)


def lease_of(settings: Settings, store: ObjectStore, clock: Clock) -> Lease:
    """The claim of this process to be the one that retrains."""
    wanted = settings.retraining
    key, lasts_s = retraining_lease_key(wanted.model), wanted.lease_s
    return Lease(store, settings.store.bucket, key, lasts_s=lasts_s, clock=clock)


def orders(settings: Settings, log_level: str) -> bytes:
    """The line that the child reads: all settings, secrets among them."""
    told = {"settings": plain(settings.model_dump()), "log_level": log_level}
    return json.dumps(told).encode() + b"\n"
