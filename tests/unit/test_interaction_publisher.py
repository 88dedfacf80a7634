"""A front end of its own: it signs, tells what it showed, and is held to the same bounds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from sightline.engine.clock import ManualClock
from sightline.engine.records import Message
from sightline.engine.search_ids import SearchIdInvalid, SearchIds
from sightline.producers.interactions.publisher import InteractionPublisher, InteractionRefused
from sightline.producers.interactions.publisher_async import AsyncInteractionPublisher
from sightline.schemas.interactions import Interaction, Kind
from sightline.schemas.registry import decode
from sightline.schemas.searches import ImageQuery, ShownImage
from tests.worker_parts import MemoryLog

HASH = "0f" * 32
IDS = SearchIds(b"a secret for tests, of 32 bytes.")
PAGE: dict[str, Any] = {
    "query": ImageQuery(image_id="a"),
    "anchor_perceptual_hash": HASH,
    "shown": [ShownImage(image_id="p1", position=1, score=0.9, perceptual_hash=HASH)],
    "model_digest": "ours",
    "generation": "g1",
}


class World:
    """A publisher, its log, and a clock to turn."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.publisher = InteractionPublisher(self.log, IDS, source="/shop", clock=self.clock)


@pytest.fixture
def world() -> World:
    """A new one."""
    return World()


def click(**facts: Any) -> Interaction:
    """On the only result."""
    return Interaction(event_id="c1", kind=Kind.CLICKED, image_id="p1", **facts)


def said(message: Message) -> Any:
    """What its event says."""
    return decode(message.value).data


def test_a_page_and_its_click_belong_together(world: World) -> None:
    """Same key, same search, same instant of issue; the user only as a pseudonym."""
    search = world.publisher.open_search("a", user_id="ann@example")
    shown = world.publisher.shown(search, **PAGE).result()
    world.clock.advance(5)
    clicked = world.publisher.interacted(search.search_id, [click()]).result()
    assert shown.topic == clicked.topic == "interactions.v1"
    assert shown.key == clicked.key == IDS.pseudonym("ann@example").encode()
    page, beacon = said(shown), said(clicked)
    assert (page.search_id, page.issued_at) == (beacon.search_id, beacon.issued_at)
    assert beacon.received_at - beacon.issued_at == timedelta(seconds=5)
    assert b"ann@example" not in (shown.value or b"") + (clicked.value or b"")


def test_without_a_user_the_session_acts(world: World) -> None:
    """The given one, or a new one each time."""
    assert world.publisher.open_search("a", session_id="s1").actor_id == "s1"
    first, second = (world.publisher.open_search("a").actor_id for _ in range(2))
    assert first != second


def test_a_repeat_is_the_same_event(world: World) -> None:
    """So that it counts once."""
    search = world.publisher.open_search("a")
    for _ in range(2):
        world.publisher.shown(search, **PAGE)
        world.publisher.interacted(search.search_id, [click()])
    names = [decode(one.value).id for one in world.log.records["interactions.v1"]]
    assert len(names) == 4
    assert len(set(names)) == 2


def test_a_search_id_is_good_for_a_day(world: World) -> None:
    """Then it authorises nothing."""
    search = world.publisher.open_search("a")
    world.clock.advance(24 * 3_600)
    world.publisher.interacted(search.search_id, [click()])
    world.clock.advance(1)
    with pytest.raises(SearchIdInvalid, match="24 h"):
        world.publisher.interacted(search.search_id, [click()])
    assert len(world.log.records["interactions.v1"]) == 1


def test_a_search_id_of_the_future_is_refused(world: World) -> None:
    """Clocks may differ by a minute, not by more."""
    ahead = World()
    ahead.clock.advance(60)
    world.publisher.authorised(ahead.publisher.open_search("a").search_id)
    ahead.clock.advance(1)
    with pytest.raises(SearchIdInvalid, match="future"):
        world.publisher.authorised(ahead.publisher.open_search("a").search_id)


def test_nothing_is_done_after_it_is_reported(world: World) -> None:
    """Beyond a minute of grace the item is named."""
    search = world.publisher.open_search("a")
    world.publisher.interacted(search.search_id, [click(since_answer_ms=60_000)])
    with pytest.raises(InteractionRefused) as refused:
        world.publisher.interacted(search.search_id, [click(), click(since_answer_ms=60_001)])
    assert refused.value.field == "items.1.since_answer_ms"


@pytest.mark.parametrize("count", [0, 101])
def test_a_beacon_has_one_to_a_hundred_items(world: World, count: int) -> None:
    """Nothing is sent otherwise."""
    search = world.publisher.open_search("a")
    with pytest.raises(ValidationError):
        world.publisher.interacted(search.search_id, [click()] * count)
    assert world.log.records["interactions.v1"] == []


def test_a_judgement_is_keyed_by_its_anchor(world: World) -> None:
    """The judge only as a pseudonym; a grade out of bounds is not sent."""
    judged = world.publisher.judged("a", "p1", 4, key="lab", judge="curator").result()
    assert (judged.topic, judged.key) == ("judgements.v1", b"a")
    assert said(judged).judge_id == "lab~" + IDS.pseudonym("curator")
    with pytest.raises(ValidationError):
        world.publisher.judged("a", "p1", 6, key="lab", judge="curator")


def test_the_same_awaited(world: World) -> None:
    """Each call returns what the log acknowledged."""
    publisher = AsyncInteractionPublisher(world.publisher)

    async def main() -> list[Message]:
        search = publisher.open_search("a")
        return [
            await publisher.shown(search, **PAGE),
            await publisher.interacted(search.search_id, [click()]),
            await publisher.judged("a", "p1", 1, key="lab", judge="curator"),
        ]

    acknowledged = asyncio.run(main())
    assert [said(one).TYPE.split(".")[1] for one in acknowledged] == [
        "results",
        "results",
        "relevance",
    ]
