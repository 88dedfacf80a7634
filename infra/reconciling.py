"""One comparison of catalogue and index: run where the index is, told as a document anywhere."""

from __future__ import annotations

from typing import Any, Protocol

from sightline.stream_workers.reconcile import Difference, Kind, Report

RECONCILE_PATH = "/v1/reconcile"


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
