"""What of a search counts, and the first reason why the rest does not (docs/labels.md, 5).

A pure function of the complete set of a search's records below x; `after_close` and `future` were
decided when they arrived, as they depend on one record only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sightline.stream_workers.labels.codecs.interactions import Item, Shown
from sightline.stream_workers.labels.codecs.searches import Omission, Omitted
from sightline.stream_workers.labels.join.open_search import Act, HeldBeacon, Impression, OpenSearch


class OmittedRecord(NamedTuple):
    """What of the record at this offset does not count."""

    offset: int
    search_id: str
    issued_at: str
    actor_id: str
    omitted: list[Omission]

    def lying_at(self, topic: str, partition: int) -> Omitted:
        """Builds the record of the side topic, given where the omitted record lies."""
        return Omitted(
            topic,
            partition,
            self.offset,
            self.search_id,
            self.issued_at,
            self.actor_id,
            self.omitted,
        )


@dataclass(slots=True)
class Counted:
    """The impression that counts, its page with each image once, and the acts that count."""

    impression: Impression | None
    page: dict[str, Shown]
    acts: list[Act] = field(default_factory=list)
    omitted: list[OmittedRecord] = field(default_factory=list)


def omitted_impression(impression: Impression, reason: str) -> OmittedRecord:
    """Builds the row that says why an impression was not counted."""
    page = impression.page
    row = Omission(0, impression.event_id, "shown", reason)
    return OmittedRecord(impression.offset, page.search_id, page.issued_at, page.actor_id, [row])


def omitted_beacon(held: HeldBeacon, reasons: dict[int, str]) -> OmittedRecord:
    """The side row of a beacon: its items by index, those with a reason."""
    beacon = held.beacon
    rows = [
        Omission(index, item.event_id, item.kind, reasons[index], item.image_id)
        for index, item in enumerate(beacon.items)
        if index in reasons
    ]
    return OmittedRecord(held.offset, beacon.search_id, beacon.issued_at, beacon.actor_id, rows)


def first_positions(shown: list[Shown]) -> dict[str, Shown]:
    """Each image once, at its lowest position (ties: the first in the list)."""
    page: dict[str, Shown] = {}
    for image in shown:
        known = page.get(image.image_id)
        if known is None or image.position < known.position:
            page[image.image_id] = image
    return page


def count(search: OpenSearch, *, window_ms: int) -> Counted:
    """Split a search's records into what counts and what does not."""
    impression, omitted = _choose_impression(search.impressions)
    page = first_positions(impression.page.shown) if impression is not None else {}
    counted = Counted(impression, page, omitted=omitted)
    if search.beacons:
        _count_beacons(search.beacons, counted, window_ms)
    return counted


def _choose_impression(
    impressions: list[Impression],
) -> tuple[Impression | None, list[OmittedRecord]]:
    if not impressions:
        return None, []
    chosen = impressions[0]
    if len(impressions) == 1:
        return chosen, []
    seen = {chosen.event_id}
    omitted = []
    for other in impressions[1:]:
        reason = "duplicate" if other.event_id in seen else "second_impression"
        seen.add(other.event_id)
        omitted.append(omitted_impression(other, reason))
    return chosen, omitted


def _belongs(held: HeldBeacon, impression: Impression | None) -> bool:
    return (
        impression is not None
        and held.issued_ms == impression.issued_ms
        and held.beacon.actor_id == impression.page.actor_id
    )


def _was_shown(item: Item, impression: Impression, page: dict[str, Shown]) -> bool:
    first = page.get(item.image_id)
    if first is None:
        return False
    if item.position is None or item.position == first.position:
        return True
    return any(
        image.image_id == item.image_id and image.position == item.position
        for image in impression.page.shown
    )


def _reason(item: Item, own_ms: int, held: HeldBeacon, counted: Counted, until_ms: int) -> str:
    """The first reason except `duplicate`, or an empty string."""
    if not held.issued_ms <= own_ms <= until_ms:
        return "outside_window"
    impression = counted.impression
    if impression is None or not _belongs(held, impression):
        return "no_impression"
    return "" if _was_shown(item, impression, counted.page) else "not_shown"


def _count_beacons(beacons: list[HeldBeacon], counted: Counted, window_ms: int) -> None:
    winners: dict[str, tuple[Act, str]] = {}
    acts: list[tuple[HeldBeacon, list[tuple[Act, str]]]] = []
    for held in beacons:
        until_ms = held.issued_ms + window_ms
        judged = []
        for index, item in enumerate(held.beacon.items):
            own_ms = _own_time(item, issued_ms=held.issued_ms, received_ms=held.received_ms)
            reason = _reason(item, own_ms, held, counted, until_ms)
            entry = (Act(held.offset, index, own_ms, item), reason)
            judged.append(entry)
            known = winners.setdefault(item.event_id, entry)
            if known[1] and not reason:
                winners[item.event_id] = entry
        acts.append((held, judged))
    for held, judged in acts:
        _split(held, judged, winners, counted)


def _split(
    held: HeldBeacon,
    judged: list[tuple[Act, str]],
    winners: dict[str, tuple[Act, str]],
    counted: Counted,
) -> None:
    reasons: dict[int, str] = {}
    for entry in judged:
        act, reason = entry
        if winners[act.item.event_id] is not entry:
            reasons[act.place] = "duplicate"
        elif reason:
            reasons[act.place] = reason
        else:
            counted.acts.append(act)
    if reasons:
        counted.omitted.append(omitted_beacon(held, reasons))


def _own_time(item: Item, *, issued_ms: int, received_ms: int) -> int:
    """The client's monotonic clock since the answer, else the arrival at the API (rule 3)."""
    if item.since_answer_ms is not None:
        return issued_ms + item.since_answer_ms
    return received_ms
