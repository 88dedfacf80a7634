"""The join of one partition: interactions in, graded searches, side rows and markers out.

Pure: no Kafka, no clock of its own. What it emits for an epoch depends only on the records of the
partition below that epoch's x, never on batching, restarts or rebalances (docs/labels.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sightline.schemas.envelope import ContractError
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.codecs.interactions import (
    BeaconRecord,
    Erasure,
    ErasureRecord,
    ShownRecord,
    decode_interaction,
)
from sightline.stream_workers.labels.codecs.searches import encode_omitted
from sightline.stream_workers.labels.done_epochs import DoneEpochs, DoneRange
from sightline.stream_workers.labels.effects import (
    Destination,
    Effect,
    FinishedEpochs,
    Outgoing,
    SideRow,
    Undecodable,
    nothing,
)
from sightline.stream_workers.labels.join.closing import (
    OpenEpoch,
    Source,
    close_epoch,
    markers,
    pack,
    side_records,
)
from sightline.stream_workers.labels.join.counting import (
    OmittedRecord,
    omitted_beacon,
    omitted_impression,
)
from sightline.stream_workers.labels.join.open_search import HeldBeacon, Impression
from sightline.stream_workers.labels.join.packed_page import HeldSearch, PackedImpression
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.safe_offset import SafeOffset


class JoinCore:
    """State of one partition of an interaction topic.

    Args:
        rules: fixed for the life of the topics.
        source: which partition this is, and where its searches go.
        done: what earlier runs finished, from `epochs.done.v1`.
    """

    def __init__(self, rules: LabelRules, source: Source, done: DoneEpochs) -> None:
        self._rules = rules
        self._source = source
        self._done = done
        self._offsets = SafeOffset()
        self._stream_ms = -1
        self._next_epoch = None if done.last is None else done.last + 1
        self._open: dict[int, OpenEpoch] = {}
        self._closing: dict[int, int] = {}
        self._erasures: dict[tuple[str, int], int] = {}

    @property
    def searches(self) -> int:
        """Counts the searches that are held until their epoch closes."""
        return sum(len(epoch.searches) for epoch in self._open.values())

    def apply(self, offset: int, timestamp_ms: int, value: bytes | None) -> list[Effect]:
        """Take the next record of the partition.

        Raises:
            OffsetGap: it is not the next one; the process must end.
        """
        self._offsets.accept(offset)
        effects: list[Effect] = []
        if timestamp_ms > self._stream_ms:
            self._stream_ms = timestamp_ms
            self._close_epochs(offset, effects)
        try:
            record = decode_interaction(value)
        except ContractError as error:
            self._offsets.hold(offset)
            effects.append(Undecodable(offset, value, str(error)))
            return effects
        if isinstance(record, BeaconRecord):
            self._take_beacon(offset, timestamp_ms, record, effects)
        elif isinstance(record, ShownRecord):
            self._take_impression(offset, timestamp_ms, record, effects)
        elif isinstance(record, ErasureRecord):
            self._take_erasure(offset, timestamp_ms, record.data)
        return effects

    def skip_to(self, offset: int) -> None:
        """The log holds nothing from the present position up to this offset."""
        self._offsets.skip_to(offset)

    def settle(self, offset: int) -> None:
        """The side row or dead letter of this record is acknowledged."""
        self._offsets.settle(offset)

    def finish(self, done: DoneRange) -> None:
        """`EpochDone` of these epochs is acknowledged: what they hold is let go."""
        self._done.add(done)
        self._open.pop(done.epoch, None)
        self._closing.pop(done.epoch, None)
        self._erasures = {
            (name, erased_ms): offset
            for (name, erased_ms), offset in self._erasures.items()
            if self._rules.epoch_of(erased_ms) > done.epoch
        }

    def safe_offset(self) -> int | None:
        """What may be committed; None before the first record."""
        needed = [epoch.first_offset for epoch in self._open.values()]
        return self._offsets.safe((*needed, *self._closing.values(), *self._erasures.values()))

    # --- what arrives ---------------------------------------------------------------------

    def _take_impression(
        self, offset: int, timestamp_ms: int, record: ShownRecord, effects: list[Effect]
    ) -> None:
        page = record.data
        issued_ms = instants.parsed_milliseconds(page.issued_at)
        impression = Impression(offset, record.id, issued_ms, page)
        reason = self._untimely(offset, timestamp_ms, issued_ms)
        if reason:
            self._side_row(omitted_impression(impression, reason), effects)
        else:
            held = self._held(offset, issued_ms, page.search_id)
            if held is not None:
                held.impressions.append(PackedImpression.of(impression))

    def _take_beacon(
        self, offset: int, timestamp_ms: int, record: BeaconRecord, effects: list[Effect]
    ) -> None:
        beacon = record.data
        issued_ms = instants.parsed_milliseconds(beacon.issued_at)
        received_ms = instants.parsed_milliseconds(beacon.received_at)
        held_beacon = HeldBeacon(offset, issued_ms, received_ms, beacon)
        reason = self._untimely(offset, timestamp_ms, issued_ms)
        if reason:
            reasons = dict.fromkeys(range(len(beacon.items)), reason)
            self._side_row(omitted_beacon(held_beacon, reasons), effects)
        else:
            held = self._held(offset, issued_ms, beacon.search_id)
            if held is not None:
                held.beacons.append(held_beacon)

    def _take_erasure(self, offset: int, timestamp_ms: int, erasure: Erasure) -> None:
        erased_ms = min(
            instants.parsed_milliseconds(erasure.erased_at), timestamp_ms + self._rules.lateness_ms
        )
        if self._rules.epoch_of(erased_ms) >= (self._next_epoch or 0):
            self._erasures.setdefault((erasure.user_pseudonym, erased_ms), offset)

    def _untimely(self, offset: int, timestamp_ms: int, issued_ms: int) -> str:
        """Says why a record is untimely: `after_close`, `future`, or `""` if it is not."""
        epoch = self._rules.epoch_of(issued_ms)
        if epoch < (self._next_epoch or 0):
            # Only an epoch that an earlier run finished can have its x still before us.
            closed_at = self._done.closed_at(epoch)
            if closed_at is None or offset >= closed_at:
                return "after_close"
        return "future" if issued_ms > timestamp_ms + self._rules.lateness_ms else ""

    def _held(self, offset: int, issued_ms: int, search_id: str) -> HeldSearch | None:
        """Where the record is held; None where its epoch is done and it was counted then."""
        epoch = self._rules.epoch_of(issued_ms)
        if epoch < (self._next_epoch or 0):
            return None
        held = self._open.get(epoch)
        if held is None:
            held = self._open[epoch] = OpenEpoch(offset)
        search = held.searches.get(search_id)
        if search is None:
            search = held.searches[search_id] = HeldSearch()
        return search

    def _side_row(self, row: OmittedRecord, effects: list[Effect]) -> None:
        self._offsets.hold(row.offset)
        told = row.lying_at(self._source.topic, self._source.partition)
        value = encode_omitted(told, time=row.issued_at)
        record = Outgoing(Destination.OMITTED, row.actor_id, value)
        effects.append(SideRow(row.offset, record))

    # --- what closes ----------------------------------------------------------------------

    def _close_epochs(self, offset: int, effects: list[Effect]) -> None:
        oldest_open = self._rules.oldest_open(self._stream_ms)
        if self._next_epoch is None:
            self._next_epoch = max(0, oldest_open - 1)
        if oldest_open <= self._next_epoch:
            return
        first = self._next_epoch
        full = sorted(epoch for epoch in self._open if first <= epoch < oldest_open)
        for epoch in full:
            self._close_empty(first, epoch, offset, effects)
            self._close_full(epoch, offset, effects)
            first = epoch + 1
        self._close_empty(first, oldest_open, offset, effects)
        self._next_epoch = oldest_open

    def _close_empty(self, first: int, until: int, offset: int, effects: list[Effect]) -> None:
        if first >= until:
            return
        done = DoneRange(first, until - 1, offset)
        self._announce(done, nothing, effects)

    def _close_full(self, epoch: int, offset: int, effects: list[Effect]) -> None:
        latest: dict[str, int] = {}
        for name, erased_ms in self._erasures:
            latest[name] = max(erased_ms, latest.get(name, -1))
        held, rules = self._open[epoch], self._rules
        time = instants.text(rules.closes_at(epoch))

        def records() -> Iterator[Outgoing]:
            # Nothing is added to a closed epoch, so the work is left to whoever sends.
            searches, omitted = close_epoch(held, latest, rules)
            yield from side_records(omitted, self._source, time)
            yield from pack(searches(), source=self._source, epoch=epoch, time=time)

        self._announce(DoneRange(epoch, epoch, offset), records, effects)

    def _announce(
        self, done: DoneRange, records: Callable[[], Iterator[Outgoing]], effects: list[Effect]
    ) -> None:
        self._closing[done.epoch] = done.closed_at_offset
        say = partial(
            markers, self._source, done.first_epoch, done.epoch, self._rules.closes_at(done.epoch)
        )
        effects.append(FinishedEpochs(done, records, say))
