"""The sweep of a process that has the index: which parts it looks at, and how often."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from sightline.engine.errors import SightlineError
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.node import Node
from sightline.infra.wiring.reconciling import reconciler
from sightline.stream_workers.image_log.winners import merge
from sightline.stream_workers.reconciling.differences import DifferenceKind
from sightline.stream_workers.reconciling.reconcile import purge_expired
from sightline.stream_workers.sweeping.loop import SweepLoop
from sightline.stream_workers.sweeping.sweep import Sweeper

_log = logging.getLogger(__name__)


def sweep_loops(node: Node) -> dict[str, Loop]:
    """What removes, now and then, what deletes and newer bytes left behind.

    None where `store.sweep_every_s` is 0.
    """
    settings = node.settings.store
    if not settings.sweep_every_s:
        return {}
    sweeper = Sweeper(
        node.store,
        settings.bucket,
        index=node.index,
        catalogue=node.publishing.catalogue,
        logged=lambda: merge(node.events.read_images()).keys(),
        keep=timedelta(days=settings.keep_deleted_days),
        clock=node.watch.clock,
    )
    loop = SweepLoop(
        sweeper,
        lambda: expire(node),
        store=node.store,
        bucket=settings.bucket,
        every_s=settings.sweep_every_s,
        clock=node.watch.clock,
        metrics=node.watch.metrics,
    )
    return {"sweep": loop.run}


def expire(node: Node) -> int:
    """Remove the tombstones that are past their retention, and mend nothing else; how many.

    From every generation: one that serves no longer is kept, and fed, for a way back.
    """
    comparing = reconciler(node)
    report = comparing.compared()
    due = tuple(found for found in report.differences if found.kind is DifferenceKind.EXPIRED)
    expired = comparing.repair(replace(report, differences=due))
    state = node.serving.record.read().state
    others = [one.name for one in state.generations if one.name != state.serves.generation]
    return expired + sum(_expire_in(node, name) for name in others)


def _expire_in(node: Node, generation: str) -> int:
    try:
        with node.serving.indexes.held(generation) as index:
            return purge_expired(index, node.watch.clock.now())
    except (SightlineError, OSError) as error:
        _log.warning("tombstones stay in generation %s for now: %s", generation, error)
        return 0
