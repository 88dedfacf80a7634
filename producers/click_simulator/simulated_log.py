"""A whole site for a while: records in the order of their arrival, with a truth beside them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import NamedTuple

from sightline.engine.exploration import explored_variant, swapped
from sightline.producers.click_simulator.attack import Attack, Sabotage
from sightline.producers.click_simulator.catalogue import SearchedCatalogue, SimulatedPicture
from sightline.producers.click_simulator.delivery import Network
from sightline.producers.click_simulator.truth import SearchTruth, Truth
from sightline.producers.click_simulator.user_model import (
    UserModel,
    Visit,
    Visitor,
    VisitorAct,
    visit,
)
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.interactions import (
    DAY_MS,
    MAX_ITEMS,
    ClockTicked,
    Interaction,
    Kind,
    ResultsInteracted,
)
from sightline.schemas.searches import ImageQuery, ResultsShown, ShownImage

SOURCE = "urn:sightline:click-simulator"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARIANT = "default"


class SimulatedRecord(NamedTuple):
    """One record on its way to a topic; `key` None: a tick, which goes to every partition."""

    timestamp_ms: int
    key: str | None
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Site:
    """How many searches and people the simulated site has, and how they are spread."""

    start_ms: int = 1_780_000_000_000
    searches_per_s: float = 5.0
    actors: int = 400
    popular_anchors: float = 0.5
    """The part of the searches whose anchor is one of the few popular ones."""
    crawlers: float = 0.02
    """The part of the actors that are crawlers."""
    hammers: float = 0.02
    """The part of the actors that are hammers."""
    tick_ms: int = 10_000
    """How often every partition is told the time."""
    explored: float = 0.0
    """The part of the searches whose page has neighbours swapped, as `api.explore_share` does."""
    attack: Attack | Sabotage | None = None
    """What else happens there."""


@dataclass
class SimulatedLog:
    """Seeded: the same arguments give the same records, byte for byte."""

    catalogue: SearchedCatalogue
    site: Site = field(default_factory=Site)
    model: UserModel = field(default_factory=UserModel)
    network: Network = field(default_factory=Network)
    seed: int = 0
    truth: Truth = field(default_factory=Truth)
    _searches: int = 0

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 - a simulation
        self.truth.learn(self.catalogue.pictures)

    def records(self, count: int, *, end_ms: int) -> Iterator[SimulatedRecord]:
        """So many records in order of time, then what is still on its way, then one late tick.

        Args:
            count: records without ticks.
            end_ms: how long after the last record the closing tick comes; past W + L and an epoch
                it closes everything.
        """
        queue: list[tuple[int, int, str, bytes]] = []
        now_ms = float(self.site.start_ms)
        tick_ms = self.site.start_ms
        sent = made = 0
        while made < count or queue:
            if made < count:
                now_ms += self._random.expovariate(self.site.searches_per_s / 1_000)
                for arrival_ms, key, value in islice(self._search(round(now_ms)), count - made):
                    heapq.heappush(queue, (arrival_ms, made, key, value))
                    made += 1
            horizon = now_ms if made < count else float("inf")
            while queue and queue[0][0] <= horizon:
                arrival_ms, _, key, value = heapq.heappop(queue)
                while tick_ms <= arrival_ms:
                    yield self.tick(tick_ms)
                    tick_ms += self.site.tick_ms
                yield SimulatedRecord(arrival_ms, key, value)
                sent = arrival_ms
        yield self.tick(sent + end_ms)

    def _search(self, now_ms: int) -> Iterator[tuple[int, str, bytes]]:
        attack = self.site.attack
        if attack is not None and self._random.random() < attack.share:
            return self.attacked(now_ms, attack.drawn(self._random))
        actor, visitor = self._actor()
        return self.searched(now_ms, actor, self._anchor(), visitor)

    def searched(
        self, now_ms: int, actor: str, anchor: SimulatedPicture, visitor: Visitor = Visitor.PERSON
    ) -> Iterator[tuple[int, str, bytes]]:
        """One search with everything that follows from it: arrival, key, value."""
        page = self._page(now_ms, actor, anchor)
        relevance = [self.truth.relevance(anchor.image_id, s.image_id) for s in page.shown]
        done = visit(relevance, visitor, self.model, self._random)
        yield from self._told(now_ms, page, visitor, done)

    def attacked(self, now_ms: int, attack: Attack) -> Iterator[tuple[int, str, bytes]]:
        """Yields the records of one search that an attacker makes, and of its clicks."""
        page = self._page(now_ms, attack.actor(self._random), attack.anchor)
        page = page.model_copy(update={"shown": attack.page(page.shown)})
        done = attack.visit(len(page.shown))
        yield from self._told(now_ms, page, Visitor.ATTACKER, done)

    def _told(
        self, now_ms: int, page: ResultsShown, visitor: Visitor, done: Visit
    ) -> Iterator[tuple[int, str, bytes]]:
        self.truth.searches[page.search_id] = SearchTruth(
            page.search_id, page.anchor_id, visitor.value, done.examined
        )
        yield from self._deliver(page, now_ms, now_ms, f"{page.search_id}.shown")
        yield from self._beacons(page, done, now_ms)

    def _actor(self) -> tuple[str, Visitor]:
        number = self._random.randrange(self.site.actors)
        share = number / self.site.actors
        if share < self.site.crawlers:
            return f"actor-{number}", Visitor.CRAWLER
        if share < self.site.crawlers + self.site.hammers:
            return f"actor-{number}", Visitor.HAMMER
        return f"actor-{number}", Visitor.PERSON

    def _anchor(self) -> SimulatedPicture:
        pictures = self.catalogue.pictures
        if self._random.random() < self.site.popular_anchors:
            return pictures[self._random.randrange(max(1, len(pictures) // 50)) * 50]
        return self._random.choice(pictures)

    def _page(self, now_ms: int, actor: str, anchor: SimulatedPicture) -> ResultsShown:
        self._searches += 1
        shown, variant = self.catalogue.ranking(anchor, self._random), _VARIANT
        if self.site.explored and self._random.random() < self.site.explored:
            shown, variant = _placed(swapped(shown, self._random)), explored_variant(_VARIANT)
        return ResultsShown(
            search_id=f"sim-{self.seed}-{self._searches}",
            issued_at=_EPOCH + timedelta(milliseconds=now_ms),
            actor_id=actor,
            session_id=actor,
            anchor_id=anchor.image_id,
            query=ImageQuery(image_id=anchor.image_id),
            anchor_perceptual_hash=anchor.perceptual_hash,
            shown=shown,
            model_digest=self.catalogue.model_digest,
            generation="g1",
            variant=variant,
        )

    def _beacons(
        self, page: ResultsShown, done: Visit, now_ms: int
    ) -> Iterator[tuple[int, str, bytes]]:
        """Views and dwells in one beacon when the visitor leaves, the acts in one of their own."""
        acts = sorted(done.acts)
        quiet = [act for act in acts if act.kind is Kind.VIEWED]
        loud = [act for act in acts if act.kind is not Kind.VIEWED]
        number = 0
        for chosen in (loud, quiet):
            for start in range(0, len(chosen), MAX_ITEMS):
                part = chosen[start : start + MAX_ITEMS]
                sent_ms = now_ms + part[-1].at_ms
                number += 1
                beacon = self._beacon(page, part, sent_ms, f"{number}-{start}")
                yield from self._deliver(beacon, now_ms, sent_ms, f"{page.search_id}.{number}")

    def _beacon(
        self, page: ResultsShown, acts: list[VisitorAct], sent_ms: int, name: str
    ) -> ResultsInteracted:
        return ResultsInteracted(
            search_id=page.search_id,
            issued_at=page.issued_at,
            actor_id=page.actor_id,
            received_at=_EPOCH + timedelta(milliseconds=sent_ms),
            items=tuple(
                interaction(page.shown[act.position - 1].image_id, act, f"{name}-{n}")
                for n, act in enumerate(acts)
            ),
        )

    def _deliver(
        self, data: ResultsShown | ResultsInteracted, now_ms: int, sent_ms: int, name: str
    ) -> Iterator[tuple[int, str, bytes]]:
        value = _written(data, name, now_ms)
        for arrival_ms in self.network.arrivals(sent_ms, self._random):
            yield arrival_ms, data.actor_id, value

    def tick(self, at_ms: int) -> SimulatedRecord:
        """Builds the record that tells every partition the time `at_ms`."""
        value = _written(ClockTicked(ticker_id="click-simulator"), f"tick-{at_ms}", at_ms)
        return SimulatedRecord(at_ms, None, value)


def interaction(image_id: str, act: VisitorAct, event_id: str) -> Interaction:
    """An act as the client reports it; what took longer than a day is cut there."""
    return Interaction(
        event_id=event_id,
        kind=act.kind,
        image_id=image_id,
        position=act.position,
        since_answer_ms=min(act.at_ms, DAY_MS),
        in_view_ms=act.in_view_ms,
        dwell_ms=None if act.dwell_ms is None else min(act.dwell_ms, DAY_MS),
    )


def _placed(shown: Sequence[ShownImage]) -> tuple[ShownImage, ...]:
    """Numbers the images of a page as they stand there now."""
    return tuple(
        image.model_copy(update={"position": place}) for place, image in enumerate(shown, 1)
    )


def _written(data: EventData, name: str, at_ms: int) -> bytes:
    event: Event[EventData] = Event.of(
        data, event_id=name, source=SOURCE, time=_EPOCH + timedelta(milliseconds=at_ms)
    )
    return event.encode()
