"""The slow batch oracle of the label rules, written from docs/labels.md alone.

It reads a recorded log as a whole, sorts it, and looks at everything again for every question. It
shares nothing with the cores but the contracts and the numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from aiokafka.partitioner import murmur2

from sightline.schemas.envelope import ContractError
from sightline.schemas.interactions import Interaction, Kind, ResultsInteracted, UserErased
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown, ShownImage, UploadQuery
from sightline.stream_workers.labels.rules import LabelRules

_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Recorded(NamedTuple):
    """One record as it lies in the log."""

    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None


@dataclass
class Expected:
    """What the streamed topics must hold, each as plain JSON data."""

    triples: dict[str, dict[str, Any]] = field(default_factory=dict)
    omitted: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    searches: dict[tuple[int, int, str], dict[str, Any]] = field(default_factory=dict)
    undecodable: set[tuple[int, int]] = field(default_factory=set)
    events: int = 0
    """How many impressions and items the log holds, whatever becomes of them."""


class Row(NamedTuple):
    """One impression or item, with what the rules look at."""

    partition: int
    offset: int
    place: int
    timestamp_ms: int
    epoch: int
    event_id: str
    data: Any
    item: Interaction | None
    issued_ms: int
    own_ms: int
    """Rule 3; of an item only."""


_decoded = lru_cache(maxsize=10_000)(decode)
"""Tests ask what other rules make of the same log."""


def ms(moment: datetime) -> int:
    """Whole milliseconds, cut."""
    return (moment - _ZERO) // _MILLISECOND


def expected(
    log: Iterable[Recorded], rules: LabelRules, *, sources: int, targets: int, topic: str
) -> Expected:
    """What the rules make of a log; triples for the epochs that are closed in all partitions."""
    return _Oracle(sorted(log, key=lambda r: (r.partition, r.offset)), rules, topic).run(
        sources, targets
    )


class _Oracle:
    def __init__(self, log: list[Recorded], rules: LabelRules, topic: str) -> None:
        self.rules = rules
        self.topic = topic
        self.log = log
        self.answer = Expected()
        self.rows: list[Row] = []
        self.erasures: defaultdict[tuple[int, str], list[tuple[Recorded, UserErased]]]
        self.erasures = defaultdict(list)
        self.newer: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self.closed: dict[tuple[int, int], int | None] = {}
        self.reasons: dict[tuple[int, int, int], str] = {}
        self.by_actor: defaultdict[tuple[int, int, str], list[list[Row]]] = defaultdict(list)
        self.by_anchor: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        self.by_epoch: defaultdict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)

    def run(self, sources: int, targets: int) -> Expected:
        for record in self.log:
            newer = self.newer[record.partition]
            if not newer or record.timestamp_ms > newer[-1][0]:
                newer.append((record.timestamp_ms, record.offset))
            self._read(record)
        self.answer.events = len(self.rows)
        by_search: defaultdict[tuple[int, int, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            reason = self._arrival_reason(row)
            if reason:
                self.reasons[row.partition, row.offset, row.place] = reason
            elif self._x(row.partition, row.epoch) is not None:
                by_search[row.partition, row.epoch, row.data.search_id].append(row)
        counted = {key: self._counted(rows) for key, rows in by_search.items()}
        self._write_omitted()
        kept = {
            key: rows
            for key, rows in counted.items()
            if any(r.item is None for r in rows) and not self._erased(key, rows)
        }
        for (partition, epoch, _), rows in kept.items():
            page = next(r.data for r in rows if r.item is None)
            self.by_actor[partition, epoch, page.actor_id].append(rows)
        for key, rows in kept.items():
            search = self._search(key, rows)
            self.answer.searches[key] = search
            self.by_anchor[search["anchor_id"], key[1]].append(search)
            self.by_epoch[key[1]].append((key[0], search))
        self._mine(sources, targets)
        return self.answer

    # -- 1, 2: clock and epochs

    def _read(self, record: Recorded) -> None:
        try:
            event = _decoded(record.value)
        except ContractError:
            self.answer.undecodable.add((record.partition, record.offset))
            return
        data = event.data
        if isinstance(data, UserErased):
            self.erasures[record.partition, data.user_pseudonym].append((record, data))
        if isinstance(data, (ResultsShown, ResultsInteracted)):
            issued = ms(data.issued_at)
            place = (record.partition, record.offset)
            when = (record.timestamp_ms, issued // self.rules.epoch_ms)
            if isinstance(data, ResultsShown):
                self.rows.append(Row(*place, 0, *when, event.id, data, None, issued, 0))
            else:
                received = ms(data.received_at)
                for index, item in enumerate(data.items):
                    since = item.since_answer_ms
                    own = received if since is None else issued + since
                    self.rows.append(
                        Row(*place, index, *when, item.event_id, data, item, issued, own)
                    )

    def _x(self, partition: int, epoch: int) -> int | None:
        """The first offset whose time is past the close: the first is newer than all before it.

        Asked once the whole log is read, and looked up once.
        """
        if (partition, epoch) not in self.closed:
            self.closed[partition, epoch] = self._closed_at(partition, epoch)
        return self.closed[partition, epoch]

    def _closed_at(self, partition: int, epoch: int) -> int | None:
        closes = (epoch + 1) * self.rules.epoch_ms + self.rules.window_ms
        closes += self.rules.lateness_ms
        newer = self.newer[partition]
        first = bisect_right(newer, closes, key=lambda one: one[0])
        return newer[first][1] if first < len(newer) else None

    # -- 5: not counted

    def _arrival_reason(self, row: Row) -> str:
        x = self._x(row.partition, row.epoch)
        if x is not None and row.offset >= x:
            return "after_close"
        if row.issued_ms > row.timestamp_ms + self.rules.lateness_ms:
            return "future"
        return ""

    def _counted(self, rows: list[Row]) -> list[Row]:
        """The rows of one search that count; notes the reasons of the others."""
        shown = sorted((r for r in rows if r.item is None), key=lambda r: r.offset)
        impression = shown[0] if shown else None
        counting: list[Row] = []
        for row in shown:
            same = [r for r in shown if r.event_id == row.event_id]
            if row is not same[0]:
                self._note(row, "duplicate")
            elif row is not impression:
                self._note(row, "second_impression")
            else:
                counting.append(row)
        items = sorted((r for r in rows if r.item is not None), key=lambda r: (r.offset, r.place))
        for row in items:
            same = [r for r in items if r.event_id == row.event_id]
            good = [r for r in same if not self._other_reason(r, impression)]
            if row is not (good or same)[0]:
                self._note(row, "duplicate")
            elif reason := self._other_reason(row, impression):
                self._note(row, reason)
            else:
                counting.append(row)
        return counting

    def _other_reason(self, row: Row, impression: Row | None) -> str:
        assert row.item is not None
        issued = row.issued_ms
        if not issued <= row.own_ms <= issued + self.rules.window_ms:
            return "outside_window"
        if (
            impression is None
            or impression.data.actor_id != row.data.actor_id
            or impression.issued_ms != issued
        ):
            return "no_impression"
        places = [s.position for s in impression.data.shown if s.image_id == row.item.image_id]
        if not places or row.item.position not in (None, *places):
            return "not_shown"
        return ""

    def _note(self, row: Row, reason: str) -> None:
        self.reasons[row.partition, row.offset, row.place] = reason

    def _write_omitted(self) -> None:
        for row in self.rows:
            reason = self.reasons.get((row.partition, row.offset, row.place))
            if reason is None:
                continue
            told = self.answer.omitted.setdefault(
                (row.partition, row.offset),
                {
                    "topic": self.topic,
                    "partition": row.partition,
                    "offset": row.offset,
                    "search_id": row.data.search_id,
                    "issued_at": row.data.issued_at,
                    "actor_id": row.data.actor_id,
                    "omitted": [],
                },
            )
            told["omitted"].append(
                {
                    "index": row.place,
                    "event_id": row.event_id,
                    "kind": row.item.kind.value if row.item else "shown",
                    "image_id": row.item.image_id if row.item else None,
                    "reason": reason,
                }
            )

    # -- 6: erased users

    def _erased(self, key: tuple[int, int, str], rows: list[Row]) -> bool:
        partition, epoch, _ = key
        page = next(r.data for r in rows if r.item is None)
        x = self._x(partition, epoch)
        assert x is not None
        return any(
            record.offset < x
            and ms(page.issued_at)
            < min(ms(data.erased_at), record.timestamp_ms + self.rules.lateness_ms)
            for name in {page.actor_id, page.user_pseudonym}
            for record, data in self.erasures.get((partition, name), ())
        )

    # -- 7 to 10: grades, examined place, bots, closed searches

    def _page(self, page: ResultsShown) -> dict[str, ShownImage]:
        first: dict[str, ShownImage] = {}
        for image in sorted(page.shown, key=lambda s: s.position):
            first.setdefault(image.image_id, image)
        return first

    def _search(self, key: tuple[int, int, str], rows: list[Row]) -> dict[str, Any]:
        partition, epoch, _ = key
        page: ResultsShown = next(r.data for r in rows if r.item is None)
        graded = [
            self._graded(image, [r for r in rows if r.item and r.item.image_id == image.image_id])
            for image in self._page(page).values()
        ]
        graded.sort(key=lambda g: (g["position"], g["image_id"]))
        looked = [
            g["position"]
            for g in graded
            if g["clicks"] + g["likes"] + g["shares"] + g["conversions"] > 0
            or (g["in_view_ms"] or 0) >= self.rules.examined_ms
        ]
        return {
            "search_id": page.search_id,
            "issued_at": page.issued_at,
            "actor_id": page.actor_id,
            "user_pseudonym": page.user_pseudonym,
            "anchor_id": page.anchor_id,
            "anchor_perceptual_hash": page.anchor_perceptual_hash,
            "query": page.query.model_dump(),
            "model_digest": page.model_digest,
            "generation": page.generation,
            "variant": page.variant,
            "verdict": self._verdict(partition, epoch, page.actor_id),
            "actor_pairs": len(self._pairs(partition, epoch, page.actor_id)),
            "examined": max(looked, default=0),
            "shown": graded,
        }

    def _graded(self, image: ShownImage, rows: list[Row]) -> dict[str, Any]:
        items = [r.item for r in rows if r.item]
        did = Counter(item.kind for item in items)
        clicks = [r.own_ms for r in rows if r.item and r.item.kind is Kind.CLICKED]
        dwells = [
            r.item.dwell_ms
            for r in rows
            if r.item and r.item.dwell_ms is not None and clicks and r.own_ms >= min(clicks)
        ]
        dwell = max(dwells, default=None)
        grades = [0]
        if did[Kind.SHARED] or did[Kind.CONVERTED]:
            grades.append(5)
        if did[Kind.LIKED]:
            grades.append(4)
        if clicks:
            unknown = dwell is None
            grades.append(2 if unknown else 3 if (dwell or 0) >= self.rules.long_dwell_ms else 1)
        return {
            "image_id": image.image_id,
            "position": image.position,
            "score": image.score,
            "perceptual_hash": image.perceptual_hash,
            "grade": max(grades),
            "clicks": did[Kind.CLICKED],
            "likes": did[Kind.LIKED],
            "shares": did[Kind.SHARED],
            "conversions": did[Kind.CONVERTED],
            "dwell_ms": dwell,
            "in_view_ms": max(
                (i.in_view_ms for i in items if i.in_view_ms is not None), default=None
            ),
            "team": image.team,
        }

    def _verdict(self, partition: int, epoch: int, actor_id: str) -> str:
        acts, shown, chosen = 0, 0, 0
        for rows in self.by_actor[partition, epoch, actor_id]:
            page = next(r.data for r in rows if r.item is None)
            items = [r.item for r in rows if r.item]
            acts += len([i for i in items if i.kind is not Kind.VIEWED])
            shown += len({s.image_id for s in page.shown})
            chosen += len({i.image_id for i in items if i.kind is not Kind.VIEWED})
        if acts > self.rules.bot_acts:
            return "too_many"
        if shown >= self.rules.bot_coverage_shown and (
            100 * chosen > self.rules.bot_coverage_percent * shown
        ):
            return "too_complete"
        return "person"

    def _pairs(self, partition: int, epoch: int, actor_id: str) -> set[tuple[str, str]]:
        return {
            (page.anchor_id, row.item.image_id)
            for rows in self.by_actor[partition, epoch, actor_id]
            for page in (r.data for r in rows if r.item is None)
            for row in rows
            if row.item is not None and row.item.kind is not Kind.VIEWED
        }

    # -- 12 to 14: triples

    def _mine(self, sources: int, targets: int) -> None:
        epochs = {
            epoch
            for epoch in self.by_epoch
            if all(self._x(p, epoch) is not None for p in range(sources))
        }
        for epoch in epochs:
            for target in range(targets):
                self.answer.triples |= self._mined(epoch, target, targets)

    def _mined(self, epoch: int, target: int, targets: int) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        searches = sorted(self.by_epoch[epoch], key=lambda s: (s[0], s[1]["search_id"]))
        for _, search in searches:
            if (murmur2(search["anchor_id"].encode()) & 0x7FFFFFFF) % targets == target:
                for name, triple in self._of_search(search, epoch):
                    found.setdefault(name, triple)
        voted = {n: t for n, t in found.items() if self._is_vote(t, found.values())}
        taught: dict[str, dict[str, Any]] = {}
        for anchor, actor in {(t["anchor_id"], t["actor_id"]) for t in voted.values()}:
            names = sorted(
                n for n, t in voted.items() if t["anchor_id"] == anchor and t["actor_id"] == actor
            )
            taught |= {n: voted[n] for n in names[: self.rules.actor_anchor_triples]}
        kept: dict[str, dict[str, Any]] = {}
        for anchor in {t["anchor_id"] for t in taught.values()}:
            names = sorted(n for n, t in taught.items() if t["anchor_id"] == anchor)
            kept |= {n: taught[n] for n in names[: self.rules.hot_anchor_triples]}
        final: dict[str, dict[str, Any]] = {}
        for image in {t["negative_id"] for t in kept.values()}:
            names = sorted(n for n, t in kept.items() if t["negative_id"] == image)
            for name in names[: self.rules.popular_negative_triples]:
                final[name] = kept[name]
        return final

    def _is_vote(self, triple: dict[str, Any], others: Iterable[dict[str, Any]]) -> bool:
        """Rule 13, 1 and 2: enough actors preferred the pair, and no better search of this one."""
        pair = (triple["anchor_id"], triple["positive_id"])
        epochs = range(triple["epoch"] - self.rules.history, triple["epoch"] + 1)
        actors = {
            search["actor_id"]
            for epoch in epochs
            for search in self.by_anchor.get((pair[0], epoch), ())
            for image in search["shown"]
            if search["verdict"] == "person" and image["image_id"] == pair[1]
            if image["grade"] >= 2
        }
        rivals = [
            (-other["grade"], other["search_id"])
            for other in others
            if (other["anchor_id"], other["positive_id"]) == pair
            and other["actor_id"] == triple["actor_id"]
        ]
        mine = (-triple["grade"], triple["search_id"])
        return len(actors) >= self.rules.min_actors and mine == min(rivals)

    def _of_search(
        self, search: dict[str, Any], epoch: int
    ) -> Iterable[tuple[str, dict[str, Any]]]:
        query = search["query"]
        if search["verdict"] != "person":
            return
        if query["kind"] == UploadQuery(sha256="0" * 64).kind and query["object"] is None:
            return
        positives = [g for g in search["shown"] if g["grade"] >= 2]
        avoid = [search["anchor_perceptual_hash"], *(p["perceptual_hash"] for p in positives)]
        negatives = [
            g
            for g in search["shown"]
            if g["grade"] == 0
            and g["position"] <= search["examined"]
            and all(
                (int(g["perceptual_hash"], 16) ^ int(h, 16)).bit_count()
                > self.rules.near_duplicate_bits
                for h in avoid
            )
            and not self._clicked(search["anchor_id"], g["image_id"], epoch)
        ]
        negatives.sort(key=lambda g: (-g["score"], g["image_id"]))
        for positive in positives:
            for negative in negatives[: self.rules.negatives]:
                yield self._triple(search, positive, negative, epoch)

    def _clicked(self, anchor_id: str, image_id: str, epoch: int) -> bool:
        """Rule 12, 3: by a person who clicked no more than so many images of the anchor."""
        clicked: defaultdict[str, set[str]] = defaultdict(set)
        for e in range(epoch - self.rules.history, epoch + 1):
            for search in self.by_anchor.get((anchor_id, e), ()):
                if search["verdict"] == "person":
                    wanted = {g["image_id"] for g in search["shown"] if g["grade"] >= 1}
                    clicked[search["actor_id"]] |= wanted
        return any(
            image_id in images and len(images) <= self.rules.actor_barred_images
            for images in clicked.values()
        )

    def _triple(
        self, search: dict[str, Any], positive: dict[str, Any], negative: dict[str, Any], epoch: int
    ) -> tuple[str, dict[str, Any]]:
        names = (search["anchor_id"], positive["image_id"], negative["image_id"])
        text = "|".join((self.rules.version, search["search_id"], *names))
        copied = ("search_id", "issued_at", "actor_id", "user_pseudonym", "query", "model_digest")
        return sha256(text.encode()).hexdigest(), {
            **{name: search[name] for name in (*copied, "generation", "variant")},
            "anchor_id": names[0],
            "positive_id": names[1],
            "negative_id": names[2],
            "grade": positive["grade"],
            "positive_position": positive["position"],
            "negative_position": negative["position"],
            "positive_score": positive["score"],
            "negative_score": negative["score"],
            "sampling_weight": min(1.0, self.rules.actor_pairs / search["actor_pairs"]),
            "epoch": epoch,
            "anchor_perceptual_hash": search["anchor_perceptual_hash"],
            "positive_perceptual_hash": positive["perceptual_hash"],
            "negative_perceptual_hash": negative["perceptual_hash"],
            "rules_version": self.rules.version,
        }
