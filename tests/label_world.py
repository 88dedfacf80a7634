"""Small seeded worlds of searches and clicks, with everything that a log can get wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random

from sightline.engine.event_log.partitions import partition_of
from sightline.schemas.envelope import Event
from sightline.schemas.images import ObjectReference
from sightline.schemas.interactions import (
    ClockTicked,
    Interaction,
    Kind,
    ResultsInteracted,
    UserErased,
)
from sightline.schemas.searches import ImageQuery, ResultsShown, ShownImage, Team, UploadQuery
from sightline.stream_workers.labels.rules import LabelRules
from tests.oracle_labels import Recorded

SMALL_RULES = LabelRules(
    epoch_ms=1_000,
    window_ms=3_000,
    lateness_ms=500,
    history=2,
    negatives=2,
    actor_pairs=2,
    actor_anchor_triples=3,
    actor_barred_images=4,
    hot_anchor_triples=4,
    popular_negative_triples=2,
    bot_acts=12,
    bot_coverage_shown=6,
    long_dwell_ms=400,
    examined_ms=100,
)
START_MS = 1_790_000_000_000
SEED_TOPIC = "interactions.v1"
_KINDS = tuple(Kind)


def instant(at_ms: int) -> datetime:
    """Milliseconds to an instant."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def ticked(at_ms: int) -> Recorded:
    """The time, told to partition 0."""
    event: Event[ClockTicked] = Event.of(
        ClockTicked(ticker_id="test"), event_id=f"t{at_ms}", source="urn:t", time=instant(at_ms)
    )
    return Recorded(0, 0, at_ms, event.encode())


@cache
def far_hash(number: int) -> str:
    """Hashes of different numbers are about 128 bits apart."""
    return f"{Random(number).getrandbits(256):064x}"


def near_hash(number: int, bits: int) -> str:
    """A hash so many bits from `far_hash(number)`."""
    return f"{int(far_hash(number), 16) ^ ((1 << bits) - 1):064x}"


@cache
def _shown(number: int, position: int) -> ShownImage:
    near = number % 4 == 3
    return ShownImage(
        image_id=f"image-{number}",
        position=position,
        score=round(1 - 0.1 * (position // 2) - 0.001 * (number % 3), 4),
        perceptual_hash=near_hash(number - 1, 40 + number // 4) if near else far_hash(number),
        team=(None, Team.CONTROL, Team.TREATMENT)[number % 3],
    )


@dataclass
class World:
    """Writes a log; times advance by chance, records come late, twice, too early, or broken."""

    random: Random
    sources: int = 2
    actors: int = 4
    anchors: int = 2
    images: int = 8
    rules: LabelRules = SMALL_RULES
    page: int | None = None
    """At most so many images on a page; None: all."""
    items: int = 4
    """At most so many in a beacon."""
    pace: float = 1.0
    """How fast time goes on between two steps."""
    weights: tuple[int, ...] = (4, 8, 1, 1, 1, 1, 1)
    """How often something happens, in the order of `run`."""
    log: list[Recorded] = field(default_factory=list)
    pages: list[ResultsShown] = field(default_factory=list)
    now_ms: int = START_MS
    delayed: list[tuple[int, int, bytes]] = field(default_factory=list)
    _names: int = 0
    _ends: dict[int, int] = field(default_factory=dict)

    def run(self, steps: int) -> list[Recorded]:
        """So many steps, then time goes on until everything is closed."""
        actions: list[Callable[[], None]] = [
            self.search,
            self.interact,
            self.crawl,
            self.tick,
            self.erase,
            self.repeat,
            self.nonsense,
        ]
        for _ in range(steps):
            self.now_ms += round(self.pace * self.random.choice((0, 0, 10, 60, 200, 900)))
            self._deliver()
            self.random.choices(actions, self.weights)[0]()
        self.now_ms += 20 * self.rules.epoch_ms + self.rules.window_ms + self.rules.lateness_ms
        self._deliver()
        for partition in range(self.sources):
            self._append(partition, self._event(ClockTicked(ticker_id="end")))
        return self.log

    # -- what happens

    def search(self) -> None:
        """One page is shown; sometimes its record is late, sometimes its time is odd."""
        actor = f"actor-{self.random.randrange(self.actors)}"
        anchor = self.random.randrange(self.anchors)
        chosen = self.random.sample(
            range(self.images), self.random.randint(0, self.page or self.images)
        )
        if chosen and self.random.random() < 0.1:
            chosen.append(self.random.choice(chosen))
        page = ResultsShown(
            search_id=self._name("s"),
            issued_at=instant(self.now_ms + self._odd_time()),
            actor_id=actor,
            session_id="session",
            user_pseudonym=self.random.choice((None, actor, "actor-0")),
            anchor_id=f"anchor-{anchor}",
            query=self._query(anchor),
            anchor_perceptual_hash=far_hash(1_000 + anchor),
            shown=tuple(_shown(n, p) for p, n in enumerate(chosen, 1)),
            model_digest="model",
            generation="g1",
            variant=self.random.choice(("default", "b")),
        )
        self.pages.append(page)
        self._send(actor, self._event(page))
        if self.random.random() < 0.1:
            self._send(actor, self._event(page))

    def interact(self) -> None:
        """One beacon; most name a page that was shown, most of its images."""
        if not self.pages:
            return
        page = self.random.choice(self.pages[-6:])
        items = tuple(self._item(page) for _ in range(self.random.randint(1, self.items)))
        search_id, issued_at, actor_id = page.search_id, page.issued_at, page.actor_id
        chance = self.random.random()
        if chance < 0.04:
            search_id = "unknown"
        elif chance < 0.07:
            issued_at += timedelta(milliseconds=self.random.choice((1, 700)))
        elif chance < 0.1:
            actor_id = "actor-0"
        beacon = ResultsInteracted(
            search_id=search_id,
            issued_at=issued_at,
            actor_id=actor_id,
            received_at=instant(self.now_ms),
            items=items,
        )
        self._send(page.actor_id, self._event(beacon))

    def crawl(self) -> None:
        """Somebody opens everything on a page."""
        self.search()
        page = self.pages[-1]
        images = sorted({shown.image_id for shown in page.shown})
        if images:
            clicks = (
                Interaction(
                    event_id=self._name("e"), kind=Kind.CLICKED, image_id=i, since_answer_ms=5
                )
                for i in images
            )
            beacon = ResultsInteracted(
                search_id=page.search_id,
                issued_at=page.issued_at,
                actor_id=page.actor_id,
                received_at=instant(self.now_ms),
                items=tuple(clicks),
            )
            self._send(page.actor_id, self._event(beacon))

    def tick(self) -> None:
        """Time goes on in one partition."""
        self._append(
            self.random.randrange(self.sources), self._event(ClockTicked(ticker_id="tick"))
        )

    def erase(self) -> None:
        """Somebody asks to be forgotten, perhaps from the future."""
        actor = f"actor-{self.random.randrange(self.actors)}"
        at = instant(self.now_ms + self.random.choice((0, -1_500, 300, 50_000)))
        self._send(actor, self._event(UserErased(user_pseudonym=actor, erased_at=at)))

    def repeat(self) -> None:
        """A record is delivered again."""
        if self.log:
            record = self.random.choice(self.log[-20:])
            self._append(record.partition, record.value)

    def nonsense(self) -> None:
        """A record that breaks its contract, or a valid one in an unusual form."""
        if self.pages and self.random.random() < 0.4:
            event = json.loads(self._event(self.pages[-1]))
            event["data"]["issued_at"] = self.pages[-1].issued_at.isoformat()
            self._append(self._home(self.pages[-1].actor_id), json.dumps(event).encode())
            return
        broken = (b"", b"{}", b"\xff", b'{"specversion":"1.0","type":"x"}', None)
        self._append(self.random.randrange(self.sources), self.random.choice(broken))

    # -- how it is said

    def _odd_time(self) -> int:
        return self.random.choices((0, -700, -9_000, 400, 5_000), (20, 1, 1, 1, 1))[0]

    def _query(self, anchor: int) -> ImageQuery | UploadQuery:
        if anchor % 2 == 0:
            return ImageQuery(image_id=f"anchor-{anchor}")
        kept = ObjectReference(bucket="sightline", key="queries/x", size_bytes=1)
        return UploadQuery(sha256="0" * 64, object=kept if self.random.random() < 0.8 else None)

    def _item(self, page: ResultsShown) -> Interaction:
        shown = self.random.choice(page.shown) if page.shown else None
        stray = shown is None or self.random.random() < 0.05
        position = shown.position if shown and self.random.random() < 0.5 else None
        if position and self.random.random() < 0.1:
            position = self.random.randint(1, 9)
        since = self.random.choices(
            (None, self.random.randint(0, 2_000), 3_000, 3_001), (4, 12, 1, 1)
        )[0]
        reused = self.random.random() < 0.1
        return Interaction(
            event_id=f"e{self.random.randrange(4)}" if reused else self._name("e"),
            kind=self.random.choices(_KINDS, (6, 1, 1, 1, 5))[0],
            image_id="image-stray" if stray or shown is None else shown.image_id,
            position=position,
            since_answer_ms=since,
            in_view_ms=self.random.choice((None, 99, 100, 5_000)),
            dwell_ms=self.random.choice((None, None, 0, 399, 400, 9_000)),
        )

    def _event(self, data: ResultsShown | ResultsInteracted | UserErased | ClockTicked) -> bytes:
        event: Event[ResultsShown | ResultsInteracted | UserErased | ClockTicked] = Event.of(
            data, event_id=self._name("v"), source="urn:test", time=instant(self.now_ms)
        )
        return event.encode()

    def _name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"

    # -- how it reaches the log

    def _home(self, actor: str) -> int:
        return partition_of(actor, self.sources)

    def _send(self, actor: str, value: bytes) -> None:
        late_ms = self.random.choices((0, 300, 2_000, 6_000), (10, 2, 1, 1))[0]
        self.delayed.append((self.now_ms + late_ms, self._home(actor), value))
        self._deliver()

    def _deliver(self) -> None:
        due = [d for d in self.delayed if d[0] <= self.now_ms]
        self.delayed = [d for d in self.delayed if d[0] > self.now_ms]
        for _, partition, value in due:
            self._append(partition, value)

    def _append(self, partition: int, value: bytes | None) -> None:
        offset = self._ends.get(partition, 0)
        self._ends[partition] = offset + 1
        skew = self.random.choice((0, 0, 0, -40)) if offset else 0
        self.log.append(Recorded(partition, offset, self.now_ms + skew, value))
