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
    from sightline.infra.wiring.parts import Parts

RECONCILE_PATH = "/v1/reconcile"
_SETTLE_S = 2.0


class Reconcile(Protocol):
    """Compares, and mends on request."""

    def __call__(self, *, repair: bool) -> Report:
        """What differed before anything was mended. Raises `PartUnavailable`."""


def as_document(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
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
    """The report that `as_document` told."""
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


def reconcile(parts: Parts, *, repair: bool) -> Report:
    """Compare the catalogue and the index of a process, and mend on request; see `Reconciler`."""
    comparing = reconciler(parts)
    report = comparing.check()
    if repair:
        comparing.repair(report)
    return report


def reconciler(parts: Parts) -> Reconciler:
    """What compares log, catalogue and index of a process."""
    catalogued = parts.catalogued
    return Reconciler(
        read_images=parts.read_images,
        index=parts.index,
        producer=parts.producer,
        # What a crash may have kept from the log.
        unpublished=lambda: [e.event for e in parts.catalogue.scan() if e.published is None],
        publish_unpublished=catalogued.publish_unpublished,
        forget=parts.catalogue.forget,
        settle=lambda: time.sleep(_SETTLE_S),
        clock=parts.clock,
    )


def unpublished_loops(parts: Parts) -> dict[str, Loop]:
    """What publishes, at start and now and then, what a crash kept from the log; see `Unpublished`.

    None where `api.publish_unpublished_every_s` is 0.
    """
    every_s = parts.settings.api.publish_unpublished_every_s
    if not every_s:
        return {}
    looking = Unpublished(
        parts.catalogue,
        parts.catalogued,
        parts.store,
        parts.settings.store.bucket,
        clock=parts.clock,
        every_s=every_s,
    )
    return {"unpublished": looking.run}
