"""The sink's manifest and where somebody stopped reading in, how much has come since out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sightline.engine.label_data.triple_manifest import (
    Ends,
    FileKind,
    ManifestEntry,
    TripleManifest,
    files_of,
    source_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTriples:
    """What the sink wrote beyond some offsets."""

    triples: int
    """Rows, without those that retraction has removed already."""
    oldest: datetime | None
    """When the first of them was written; None: there are none."""
    ends: Ends
    """Up to where everything was written."""


def waiting_triples(manifest: TripleManifest, since: Ends) -> WaitingTriples:
    """Count what was mined at or after some offsets, from the manifest alone.

    Raises:
        PartUnavailable: the store did not answer.
    """
    entries = [stored.entry for stored in manifest.entries()]
    new = [entry for entry in entries if _is_new(entry, since) and _triples(entry)]
    return WaitingTriples(
        triples=sum(map(_triples, new)),
        oldest=min((entry.written_at for entry in new), default=None),
        ends={source_of(entry): entry.end_offset for entry in entries},
    )


def waiting_anchors(manifest: TripleManifest, since: Ends) -> int:
    """Count the distinct anchors of the same triples; reads one column of their files.

    Raises:
        ObjectMissing: files that the manifest lists are gone for good.
        PartUnavailable: the store did not answer.
    """
    from sightline.engine.label_data.triple_table import count_anchors  # noqa: PLC0415 - Arrow

    return count_anchors(manifest, lambda: _new(manifest, since))


def _new(manifest: TripleManifest, since: Ends) -> list[ManifestEntry]:
    return [stored.entry for stored in manifest.entries() if _is_new(stored.entry, since)]


def _is_new(entry: ManifestEntry, since: Ends) -> bool:
    return entry.end_offset > since.get(source_of(entry), 0)


def _triples(entry: ManifestEntry) -> int:
    return sum(file.rows for file in files_of([entry], FileKind.TRIPLES))
