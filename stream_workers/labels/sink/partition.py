"""Records of one partition in, manifest entries out: the decisions of the sink, without Kafka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sightline.engine.errors import Conflict, RefusedToStart
from sightline.engine.label_data.event_rows import Row, retraction_row, triple_row
from sightline.engine.label_data.triple_manifest import (
    LOG,
    FileKind,
    ManifestEntry,
    TripleFile,
    TripleManifest,
)
from sightline.engine.ports import Clock
from sightline.engine.records import Message
from sightline.engine.settings import SinkSettings
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.registry import decode

Bury = Callable[[Message, str], None]
"""Sends the dead letter of a record and returns when it is acknowledged."""


@dataclass(slots=True)
class _Rows:
    triples: list[Row] = field(default_factory=list)
    retractions: list[Row] = field(default_factory=list)
    unreadable: list[tuple[Message, str]] = field(default_factory=list)

    def add(self, message: Message) -> None:
        try:
            self._add(decode(message.value), message)
        except ContractError as error:
            self.unreadable.append((message, str(error)))

    def _add(self, event: Event[Any], message: Message) -> None:
        if isinstance(event.data, TripleMined):
            self.triples.append(triple_row(event, message))
        elif isinstance(event.data, TripleRetracted):
            self.retractions.append(retraction_row(event, message))
        else:
            raise ContractError("type", f"{event.type} is no event of this topic")

    def by_kind(self) -> list[tuple[FileKind, list[Row]]]:
        kinds = (FileKind.TRIPLES, self.triples), (FileKind.RETRACTIONS, self.retractions)
        return [(kind, rows) for kind, rows in kinds if rows]


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush came to; `created` is false where another sink had written these offsets."""

    created: bool
    next_offset: int
    triples: int = 0
    retractions: int = 0
    unreadable: int = 0


class PartitionSink:
    """Holds the records of one partition until they are worth a file.

    Args:
        manifest: says where to start, and is the commit.
        partition: of the manifest's topic.
        limits: how much is held, for how long.
        clock: monotonic.
        bury: for records that break their contract.
        log: the run, where offsets begin at 0 again.
    """

    def __init__(
        self,
        manifest: TripleManifest,
        partition: int,
        *,
        limits: SinkSettings,
        clock: Clock,
        bury: Bury,
        log: str = LOG,
    ) -> None:
        self._manifest = manifest
        self._partition = partition
        self._limits = limits
        self._clock = clock
        self._bury = bury
        self._log = log
        self._held: list[Message] = []
        self._prepared: _Rows | None = None
        """What is held as rows, once its dead letters are acknowledged."""
        self._since = 0.0
        self._begun = False
        self.start = manifest.end(log, partition)

    def take(self, message: Message) -> None:
        """Hold a record; what the manifest has already is dropped.

        Raises:
            RefusedToStart: the log is older than the manifest: the topic was made anew.
        """
        if not self._begun and message.offset < self.start:
            raise RefusedToStart(
                f"{message.topic}/{self._partition} begins at {message.offset}, but the manifest "
                f"under labels/ ends at {self.start}: the topic was made anew. Give it another "
                "name, or move the old folder away"
            )
        self._begun = True
        if message.offset < self.start:
            return
        if not self._held:
            self._since = self._clock.monotonic()
        self._held.append(message)
        self._prepared = None

    def due(self) -> bool:
        """Whether what is held is worth a file, or has waited long enough."""
        if not self._held:
            return False
        waited_s = self._clock.monotonic() - self._since
        return len(self._held) >= self._limits.max_rows or waited_s >= self._limits.max_age_s

    def flush(self) -> Flushed | None:
        """Write what is held and commit it; None if nothing is held.

        After a failure everything is still held: a repeat is safe, also where the commit had
        happened all the same.

        Raises:
            PartUnavailable: the store or the broker did not answer.
            DeadLetterLimit: too many unreadable records; none of these offsets is committed.
        """
        if not self._held:
            return None
        if self._prepared is None:
            self._prepared = self._prepare()
        return self._commit(self._prepared)

    def _prepare(self) -> _Rows:
        rows = _Rows()
        for message in self._held:
            rows.add(message)
        for message, reason in rows.unreadable:
            self._bury(message, reason)
        return rows

    def _commit(self, rows: _Rows) -> Flushed:
        end = self._held[-1].offset + 1
        draft = ManifestEntry(
            topic=self._manifest.topic,
            log=self._log,
            partition=self._partition,
            first_offset=self.start,
            end_offset=end,
            unreadable=len(rows.unreadable),
            absent=end - self.start - len(self._held),
            files=(),
            written_at=self._clock.now(),
        )
        written = self._written(draft, rows)
        entry = draft.model_copy(update={"files": tuple(file for file, _ in written)})
        try:
            self._manifest.create(entry)
        except Conflict:
            return self._lost(entry)
        self._keep(written)
        self._advance(end)
        return Flushed(
            created=True,
            next_offset=end,
            triples=len(rows.triples),
            retractions=len(rows.retractions),
            unreadable=len(rows.unreadable),
        )

    def _written(self, draft: ManifestEntry, rows: _Rows) -> list[tuple[TripleFile, bytes]]:
        from sightline.stream_workers.labels.sink.parquet_files import (  # noqa: PLC0415 - Arrow
            put_rows,
        )

        store, bucket = self._manifest.store, self._manifest.bucket
        return [put_rows(store, bucket, draft, kind, of_kind) for kind, of_kind in rows.by_kind()]

    def _keep(self, written: list[tuple[TripleFile, bytes]]) -> None:
        """Put back what was cleared away as an orphan while this process stood still."""
        for file, data in written:
            if not self._manifest.has(file):
                self._manifest.store.put(self._manifest.bucket, file.key, data)

    def _lost(self, entry: ManifestEntry) -> Flushed:
        """Go on where the winner ended; ours are gone unless the winner is a repeat of us."""
        winner = self._manifest.read(entry.key).entry
        unlisted = [file for file in entry.files if file not in winner.files]
        self._manifest.remove(unlisted)
        self._advance(winner.end_offset)
        return Flushed(created=False, next_offset=winner.end_offset)

    def _advance(self, start: int) -> None:
        self.start = start
        self._held = [message for message in self._held if message.offset >= start]
        self._prepared = None
        self._since = self._clock.monotonic()
