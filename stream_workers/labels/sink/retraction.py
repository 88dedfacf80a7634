"""What is erased or hidden leaves the Parquet triples: publishes retractions, rewrites files.

A batch, run every hour (`retraction_rounds.py`), safe to repeat and to kill anywhere: the id of a
retraction follows from triple and cause, a rewrite is one compare-and-set of a manifest entry, and
files that no entry lists are cleared away by the next run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from hashlib import sha256

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from sightline.engine.errors import Conflict, ObjectMissing
from sightline.engine.label_data.triple_manifest import (
    PREFIX,
    FileKind,
    ManifestEntry,
    StoredEntry,
    TripleFile,
    TripleManifest,
    files_of,
)
from sightline.engine.label_data.triple_table import read_files
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import ProducerRecord
from sightline.schemas.envelope import Event
from sightline.schemas.labels import TripleRetracted
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.stream_workers.labels.sink.causes import Causes, RetractingEvent, TripleSubject
from sightline.stream_workers.labels.sink.last_retraction import RetractionReport
from sightline.stream_workers.labels.sink.parquet_files import put_file

SOURCE = "urn:sightline:retract"
ATTEMPTS = 5
_COLUMNS = (
    *("triple_id", "anchor_id", "positive_id", "negative_id", "query_image_id"),
    *("actor_id", "user_pseudonym", "issued_at"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Retraction:
    """One batch.

    Args:
        manifest: of a labelled topic, that of an earlier rules version, too.
        producer: of `TripleRetracted`, which goes to the topic of today's.
        clock: the time of the events, and the age of orphans.
        orphan_grace: files that no entry lists are cleared away when they are older.
    """

    manifest: TripleManifest
    producer: EventProducer
    _: KW_ONLY
    clock: Clock
    orphan_grace: timedelta

    def run(self, causes: Causes) -> RetractionReport:
        """Match causes to files, publish what is hit, rewrite, clear away orphans.

        Raises:
            PartUnavailable: the store or the broker did not answer; repeat it.
        """
        report = RetractionReport()
        before = self._retracted_before()
        for stored in list(self.manifest.entries()):
            self._entry(stored, causes, before, report)
        self._clear_orphans(report)
        return report

    def _retracted_before(self) -> set[str]:
        entries = [stored.entry for stored in self.manifest.entries()]
        files = files_of(entries, FileKind.RETRACTIONS)
        ids = read_files(self.manifest, files, columns=("triple_id",))["triple_id"]
        return set(ids.to_pylist())

    def _entry(
        self, stored: StoredEntry, causes: Causes, before: set[str], report: RetractionReport
    ) -> None:
        for _ in range(ATTEMPTS):
            try:
                self._clean(stored, causes, before, report)
            except (Conflict, ObjectMissing):
                # Another run has rewritten it meanwhile.
                stored = self.manifest.read(stored.entry.key)
            else:
                return
        self._clean(stored, causes, before, report)

    def _clean(
        self, stored: StoredEntry, causes: Causes, before: set[str], report: RetractionReport
    ) -> None:
        files = files_of([stored.entry], FileKind.TRIPLES)
        if not files:
            return
        rows = read_files(self.manifest, files, columns=_COLUMNS).to_pylist()
        hits = {row["triple_id"]: (row["anchor_id"], causes.hit(_subject(row))) for row in rows}
        fresh = {
            name: (anchor_id, cause)
            for name, (anchor_id, cause) in hits.items()
            if cause is not None and name not in before
        }
        gone = before & hits.keys() | fresh.keys()
        self._publish(fresh)
        if gone:
            self._rewrite(stored, files, gone)
        report.triples_read += len(rows)
        report.retracted.update(cause.kind.value for _, cause in fresh.values())
        report.rows_removed += sum(row["triple_id"] in gone for row in rows)
        report.entries_rewritten += bool(gone)
        before.update(fresh)

    def _publish(self, hits: dict[str, tuple[str, RetractingEvent]]) -> None:
        now = self.clock.now()
        sent = [
            self.producer.append(
                ProducerRecord(
                    TRAINING_TRIPLES.name,
                    anchor_id,
                    Event[TripleRetracted]
                    .of(
                        TripleRetracted(
                            triple_id=name,
                            anchor_id=anchor_id,
                            cause=cause.kind,
                            cause_event_id=cause.event_id,
                        ),
                        event_id=sha256(f"{name}|{cause.event_id}".encode()).hexdigest(),
                        source=SOURCE,
                        time=now,
                    )
                    .encode(),
                )
            )
            for name, (anchor_id, cause) in sorted(hits.items())
        ]
        for future in sent:
            future.result()

    def _rewrite(self, stored: StoredEntry, files: Sequence[TripleFile], gone: set[str]) -> None:
        store, bucket = self.manifest.store, self.manifest.bucket
        rows = read_files(self.manifest, files)
        leaves = pc.is_in(rows["triple_id"], value_set=pa.array(sorted(gone), pa.string()))
        kept = rows.filter(pc.invert(leaves))
        entry = stored.entry
        written = [put_file(store, bucket, entry, FileKind.TRIPLES, kept)[0]] if len(kept) else []
        others = [file for file in entry.files if file.kind is not FileKind.TRIPLES]
        update = {"version": entry.version + 1, "files": (*written, *others)}
        try:
            self.manifest.replace(stored, entry.model_copy(update=update))
        except Conflict:
            self.manifest.remove(written)
            raise
        self.manifest.remove(files)

    def _clear_orphans(self, report: RetractionReport) -> None:
        store, bucket = self.manifest.store, self.manifest.bucket
        prefix = f"{PREFIX}{self.manifest.topic}/"
        # First what is there, then what is listed: a file is written before its entry.
        found = [o for o in store.list(bucket, prefix) if o.key.endswith(".parquet")]
        listed = _keys(stored.entry for stored in self.manifest.entries())
        oldest = self.clock.now() - self.orphan_grace
        for orphan in found:
            old = orphan.modified is not None and orphan.modified < oldest
            if old and orphan.key not in listed:
                store.delete(bucket, orphan.key)
                report.orphans_removed += 1


def _keys(entries: Iterable[ManifestEntry]) -> set[str]:
    return {file.key for entry in entries for file in entry.files}


def _subject(row: dict[str, object]) -> TripleSubject:
    return TripleSubject(
        issued_at=row["issued_at"],  # type: ignore[arg-type]
        people=_named(row, "actor_id", "user_pseudonym"),
        images=_named(row, "anchor_id", "positive_id", "negative_id", "query_image_id"),
    )


def _named(row: dict[str, object], *columns: str) -> tuple[str, ...]:
    return tuple(str(row[column]) for column in columns if row[column] is not None)
