"""Catalogue, log and index of a process brought together: compared on request, and published."""

from __future__ import annotations

import time
from dataclasses import replace

from sightline.engine.settings import Settings
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.node import Node, Publishing
from sightline.stream_workers.reconciling.decisions import DecisionReconciler
from sightline.stream_workers.reconciling.differences import Report
from sightline.stream_workers.reconciling.reconcile import Reconciler

_SETTLE_S = 2.0


def reconcile(node: Node, *, repair: bool) -> Report:
    """Compare the catalogue and the index of a process, and mend on request; see `Reconciler`."""
    images, decisions = reconciler(node), decision_reconciler(node)
    report = images.check()
    decided = decisions.check()
    if repair:
        # What hides comes first: an image that is published again may be one that is blocked.
        decisions.repair(decided)
        images.repair(report)
    return replace(report, differences=(*report.differences, *decided))


def reconciler(node: Node) -> Reconciler:
    """What compares log, catalogue and index of a process."""
    return Reconciler(
        read_images=node.events.read_images,
        index=node.index,
        producer=node.events.producer,
        kept=node.publishing.catalogue.look_at_all,
        finish=node.catalogued.finish,
        forget=node.publishing.catalogue.forget,
        settle=lambda: time.sleep(_SETTLE_S),
        clock=node.watch.clock,
    )


def decision_reconciler(node: Node) -> DecisionReconciler:
    """What compares the operator's decisions with the index of a process."""
    return DecisionReconciler(
        read_decisions=node.events.read_decisions,
        kept=node.publishing.decisions.look_at_all,
        index=node.index,
        producer=node.events.producer,
        settle=lambda: time.sleep(_SETTLE_S),
    )


def unpublished_loops(settings: Settings, publishing: Publishing) -> dict[str, Loop]:
    """What publishes, at start and now and then, what a crash kept from the log; see `Unpublished`.

    None where `api.publish_unpublished_every_s` is 0.
    """
    if not settings.api.publish_unpublished_every_s:
        return {}
    return {
        "unpublished": publishing.unpublished_images.run,
        "unpublished decisions": publishing.unpublished_decisions.run,
    }
