"""The roll-outs beside a node: what they look at, what they do, and the loop that lets them."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.object_store.lease import Lease
from sightline.infra.processes.node_rollout import NodeRollout
from sightline.stream_workers.rolling_out.rolling_out import RollingOut
from sightline.stream_workers.rolling_out.state import (
    STAGES,
    RolloutRecord,
    RolloutState,
    rollout_lease_key,
)

if TYPE_CHECKING:
    from sightline.engine.label_data.search_stats import SearchStats
    from sightline.infra.supervision.loops import Loop
    from sightline.infra.wiring.node import Node

LOOK_EVERY_S = 5.0
_LEASE_S = 15.0

_log = logging.getLogger(__name__)


def rollout_loops(node: Node, stats: SearchStats) -> dict[str, Loop]:
    """The roll-outs beside a node; none where `rollout.automatic` is off."""
    if not node.settings.rollout.automatic:
        return {}
    return {"roll-out": RolloutLoop(node, stats).run}


class RolloutLoop:
    """Looks whether a released model is to go a step further, and shows how far it is.

    Args:
        node: the parts of the process.
        stats: what closed searches came to.
    """

    def __init__(self, node: Node, stats: SearchStats) -> None:
        settings, bucket = node.settings, node.settings.store.bucket
        index = settings.index.collection_prefix
        self._metrics = node.watch.metrics
        self._record = RolloutRecord(node.store, bucket, index)
        work = NodeRollout(node, stats)
        lease = Lease(
            node.store, bucket, rollout_lease_key(index), lasts_s=_LEASE_S, clock=node.watch.clock
        )
        self._rolling_out = RollingOut(
            self._record, work, work, lease=lease, settings=settings.rollout, clock=node.watch.clock
        )

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what fails is told, and tried again: `keep_looking`."""
        obstacle = Obstacle(_log, "a roll-out waits")
        keep_looking(partial(self.look, stop), stop, every_s=LOOK_EVERY_S, obstacle=obstacle)

    def look(self, stop: threading.Event) -> None:
        """Do what is due, and measure it; raises as `RollingOut.look`."""
        before = self._record.read().state
        try:
            self._rolling_out.look(stop)
        finally:
            self._show(before, self._record.read().state)

    def _show(self, before: RolloutState, after: RolloutState) -> None:
        known = before.done_with
        for ended in after.past:
            if ended.model not in known:
                self._metrics.rollouts_ended.labels(ended.outcome).inc()
        under_way = after.under_way
        for stage in STAGES:
            is_there = under_way is not None and under_way.stage == stage
            self._metrics.rollout_stage.labels(stage).set(is_there)
