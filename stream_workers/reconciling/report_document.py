"""Reports of a comparison as documents: how the process that has the index is asked for one."""

from __future__ import annotations

from typing import Any, Protocol

from sightline.stream_workers.reconciling.differences import DifferenceKind, ImageDifference, Report

RECONCILE_PATH = "/v1/reconcile"


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
            ImageDifference(
                image_id=said["image_id"],
                kind=DifferenceKind(said["kind"]),
                catalogued=said["catalogued"],
                indexed=said["indexed"],
            )
            for said in document["differences"]
        ),
    )
