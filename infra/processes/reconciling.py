"""Catalogue, log and index brought together: compared on request, published by itself.

The comparison runs where the index is and is told as a document anywhere.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from sightline.producers.images.unpublished import Unpublished
from sightline.stream_workers.reconciling.reconcile import Difference, Kind, Reconciler, Report

if TYPE_CHECKING:
    from sightline.infra.supervision.loops import Loop
    from sightline.infra.wiring.node import Base, Node

RECONCILE_PATH = "/v1/reconcile"
_SETTLE_S = 2.0


class Reconcile(Protocol):
    """Compares catalogue, log and index, and mends the differences if asked to."""

    def __call__(self, *, repair: bool) -> Report:
        """What differed before anything was mended. Raises `PartUnavailable`."""


def as_document(report: Report) -> dict[str, Any]:
    """Writes a report as JSON values, for an HTTP answer."""
    return {
        "catalogued": report.catalogued,
        "indexed": report.indexed,
        "differences": [
            {
                "image_id": difference.image_id,
                "kind": str(difference.kind),
                "catalogued": difference.catalogued,
                "indexed": difference.indexed,
            }
            for difference in report.differences
        ],
    }


def from_document(document: dict[str, Any]) -> Report:
    """Reads back the report that `as_document` wrote."""
    return Report(
        catalogued=document["catalogued"],
        indexed=document["indexed"],
        differences=tuple(
            Difference(
                image_id=said["image_id"],
                kind=Kind(said["kind"]),
                catalogued=said["catalogued"],
                indexed=said["indexed"],
            )
            for said in document["differences"]
        ),
    )


def reconcile(node: Node, *, repair: bool) -> Report:
    """Compare the catalogue and the index of a process, and mend on request; see `Reconciler`."""
    comparing = reconciler(node)
    report = comparing.check()
    if repair:
        comparing.repair(report)
    return report


def reconciler(node: Node) -> Reconciler:
    """What compares log, catalogue and index of a process."""
    catalogued = node.catalogued
    return Reconciler(
        read_images=node.read_images,
        index=node.index,
        producer=node.producer,
        # What a crash may have kept from the log.
        unpublished=lambda: [e.event for e in node.catalogue.scan() if e.published is None],
        publish_unpublished=catalogued.publish_unpublished,
        forget=node.catalogue.forget,
        settle=lambda: time.sleep(_SETTLE_S),
        clock=node.clock,
    )


def unpublished_loops(base: Base) -> dict[str, Loop]:
    """What publishes, at start and now and then, what a crash kept from the log; see `Unpublished`.

    None where `api.publish_unpublished_every_s` is 0.
    """
    every_s = base.settings.api.publish_unpublished_every_s
    if not every_s:
        return {}
    looking = Unpublished(
        base.catalogue,
        base.new_images,
        base.store,
        base.settings.store.bucket,
        clock=base.clock,
        every_s=every_s,
    )
    return {"unpublished": looking.run}
