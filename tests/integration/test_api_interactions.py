"""Beacons and judgements: what is taken reaches the log, and what is refused says why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.errors import Overloaded, Part, PartUnavailable
from sightline.engine.records import Message
from sightline.engine.search_ids import IssuedSearch, SearchIds, upload_ids
from sightline.schemas.fields import Visibility
from sightline.schemas.interactions import DAY_MS, ResultsInteracted
from sightline.schemas.registry import decode
from sightline.schemas.searches import CropBox, ResultsShown
from sightline.search_api.feedback import intake
from sightline.search_api.http.problems import PROBLEM_TYPES, URN
from tests.api_parts import KEYS, SECRET, ApiWorld, app_of, client_of

BEACONS, JUDGEMENTS = "/v1/interactions", "/v1/judgements"
TEN_MB = 10 * 1024 * 1024
IDS = SearchIds(SECRET)
Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Three pictures, one of them private."""
    world = ApiWorld.open(tmp_path)
    world.add("i1", 1)
    world.add("i2", 2)
    world.add("hidden", 3, visibility=Visibility.PRIVATE)
    yield world
    world.index.close()


def with_client(
    world: ApiWorld, ask: Ask, *, key: str | None = None, **settings: Any
) -> httpx.Response:
    """What a fresh app answers."""

    async def main() -> httpx.Response:
        async with client_of(app_of(world, **settings), key=key) as client:
            return await ask(client)

    return asyncio.run(main())


def post(world: ApiWorld, body: Any, *, url: str = BEACONS, **more: Any) -> httpx.Response:
    """One JSON request to a fresh app."""
    return with_client(world, lambda client: client.post(url, json=body), **more)


def search_id(
    *, age: timedelta = timedelta(minutes=1), actor: str = "ann", ids: SearchIds = IDS
) -> str:
    """A search id issued so long ago, by this deployment unless said."""
    issued = datetime.now(UTC).replace(microsecond=0) - age
    return ids.issue(
        IssuedSearch(issued_at=issued, actor_id=actor, anchor_id="i1", variant="default")
    )


def item(number: int = 0, **facts: Any) -> dict[str, Any]:
    """One click."""
    return {
        "event_id": f"e{number}",
        "kind": "clicked",
        "image_id": "i2",
        "position": 1,
        "since_answer_ms": 1500,
    } | facts


def beacon(*items: dict[str, Any], of: str | None = None) -> dict[str, Any]:
    """The body of a request."""
    return {"search_id": of or search_id(), "items": list(items or [item()])}


def is_problem(answer: httpx.Response, kind: str, **facts: str) -> bool:
    """A problem document of this kind, with these members."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert (document["type"], answer.status_code) == (URN + kind, PROBLEM_TYPES[kind][0]), document
    assert facts.items() <= document.items(), document
    return True


def recorded(world: ApiWorld, topic: str = "interactions.v1") -> list[Message]:
    """What is in the log."""
    return world.log.records[topic]


def test_a_click_on_a_result_reaches_the_log(world: ApiWorld) -> None:
    """Search, click, 202: one record under the same key as the impression, on the same trace."""
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        found = (await client.post("/v1/search", json={"image_id": "i1"})).json()
        click = item(image_id=found["results"][0]["image_id"], since_answer_ms=0)
        return await client.post(
            BEACONS, json=beacon(click, of=found["search_id"]), headers={"traceparent": trace}
        )

    answer = with_client(world, ask)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    # Either may come first: the impression is recorded behind the answer.
    clicked, shown = sorted(recorded(world), key=lambda one: decode(one.value).type)
    impression, reported = decode(shown.value).data, decode(clicked.value).data
    assert isinstance(impression, ResultsShown)
    assert isinstance(reported, ResultsInteracted)
    assert clicked.key == shown.key == impression.actor_id.encode()
    assert reported.search_id == impression.search_id
    assert reported.issued_at == impression.issued_at
    assert dict(clicked.headers)["traceparent"].split(b"-")[1] == b"ab" * 16


def test_no_key_is_needed(world: ApiWorld) -> None:
    """Where everything else needs a key, the search id alone authorises."""
    assert post(world, beacon(), keys=KEYS).status_code == 202


def test_a_beacon_may_call_itself_text(world: ApiWorld) -> None:
    """As `sendBeacon` sends a string; the answer is readable for the configured origins."""
    answer = with_client(
        world,
        lambda client: client.post(
            BEACONS,
            content=json.dumps(beacon()),
            headers={"content-type": "text/plain;charset=UTF-8", "origin": "https://shop.test"},
        ),
        keys=KEYS,
        cors_origins=["https://shop.test"],
    )
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == "https://shop.test"


def test_the_same_beacon_again_is_the_same_event(world: ApiWorld) -> None:
    """A sender that got no answer repeats itself safely."""
    body = beacon(item(1), item(2))
    assert post(world, body).status_code == post(world, body).status_code == 202
    first, second = (decode(message.value).id for message in recorded(world))
    assert first == second


def altered(issued: str) -> str:
    """The same with another last letter, whichever it has: one issued id in 64 ends with an x."""
    return issued[:-1] + ("y" if issued.endswith("x") else "x")


@pytest.mark.parametrize(
    "forged",
    [  # made when the test runs: a collected test may wait for its turn
        lambda: "never-issued",
        lambda: altered(search_id()),
        lambda: search_id(age=timedelta(hours=24, seconds=5)),
        lambda: search_id(age=-timedelta(minutes=5)),
        lambda: search_id(ids=SearchIds(b"the secret of somebody else")),
    ],
    ids=["unknown", "altered", "expired", "of the future", "of another deployment"],
)
def test_a_search_id_that_authorises_nothing_is_refused(
    world: ApiWorld, forged: Callable[[], str]
) -> None:
    """403, whatever is wrong with it, and nothing is recorded."""
    answer = post(world, beacon(of=forged()))
    assert is_problem(answer, "bad-search-id", field="search_id")
    assert recorded(world) == []


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"dwell_ms": -1}, "items.0.dwell_ms"),
        ({"dwell_ms": 7 * DAY_MS}, "items.0.dwell_ms"),
        ({"in_view_ms": 1.5}, "items.0.in_view_ms"),
        ({"since_answer_ms": -1}, "items.0.since_answer_ms"),
        ({"since_answer_ms": DAY_MS + 1}, "items.0.since_answer_ms"),
        ({"since_answer_ms": 10 * 60 * 1000}, "items.0.since_answer_ms"),
        ({"position": 0}, "items.0.position"),
        ({"position": "1"}, "items.0.position"),
        ({"kind": "bought"}, "items.0.kind"),
        ({"image_id": "a/b"}, "items.0.image_id"),
        ({"event_id": ""}, "items.0.event_id"),
        ({"colour": "red"}, "items.0.colour"),
    ],
)
def test_an_item_out_of_bounds_is_refused(
    world: ApiWorld, fault: dict[str, Any], field: str
) -> None:
    """422 naming the field: a dwell below zero or of a week, a time of the future, and so on."""
    assert is_problem(post(world, beacon(item() | fault)), "invalid", field=field)
    assert recorded(world) == []


@pytest.mark.parametrize("count", [0, 101])
def test_a_beacon_has_one_to_a_hundred_items(world: ApiWorld, count: int) -> None:
    """Neither none nor more."""
    body = {"search_id": search_id(), "items": [item(n) for n in range(count)]}
    assert is_problem(post(world, body), "invalid", field="items")


def test_what_only_the_join_can_tell_passes(world: ApiWorld) -> None:
    """An image that was not shown, or elsewhere: taken here, and left out there."""
    assert post(world, beacon(item(image_id="elsewhere", position=99))).status_code == 202


def test_ten_thousand_clicks_of_one_session_are_a_flood(world: ApiWorld) -> None:
    """429 with `Retry-After` after a thousand items; another visitor is still heard."""

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        mine = search_id()
        for start in range(0, 10_000, 100):
            body = beacon(*(item(start + n) for n in range(100)), of=mine)
            refused = await client.post(BEACONS, json=body)
        other = await client.post(BEACONS, json=beacon(of=search_id(actor="bob")))
        assert other.status_code == 202
        return refused

    answer = with_client(world, ask)
    assert is_problem(answer, "too-many-requests")
    assert int(answer.headers["retry-after"]) >= 1
    items = sum(len(decode(message.value).data.items) for message in recorded(world))
    assert 1_001 <= items < 1_500


@pytest.mark.parametrize("stated", [True, False])
def test_a_beacon_of_ten_megabytes_is_not_read(world: ApiWorld, *, stated: bool) -> None:
    """413 after 64 KiB, also where its length is not stated."""
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < TEN_MB:
            sent += 16_384
            yield b" " * 16_384

    headers = {"content-type": "text/plain"} | ({"content-length": str(TEN_MB)} if stated else {})
    answer = with_client(
        world, lambda client: client.post(BEACONS, content=chunks(), headers=headers)
    )
    assert is_problem(answer, "too-large", field="body")
    assert sent < 200_000
    assert recorded(world) == []


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", ""])
def test_other_kinds_of_content_are_refused(world: ApiWorld, content_type: str) -> None:
    """415 says what to send."""
    answer = with_client(
        world,
        lambda client: client.post(BEACONS, content=b"{}", headers={"content-type": content_type}),
    )
    assert is_problem(answer, "unsupported-media")


def test_what_is_no_json_is_malformed(world: ApiWorld) -> None:
    """400."""
    answer = with_client(
        world,
        lambda client: client.post(BEACONS, content=b"{", headers={"content-type": "text/plain"}),
    )
    assert is_problem(answer, "malformed")


@pytest.mark.parametrize("silent", [True, False])
def test_a_dead_broker_is_a_reason_to_come_back(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    """503 with `Retry-After`, naming the broker; searches then say `feedback: false`."""
    monkeypatch.setattr(intake, "ACKNOWLEDGED_IN_S", 0.05)
    world.log.answer = Future()
    if not silent:
        world.log.answer.set_exception(PartUnavailable(Part.BROKER, "gone", retry_after_s=2))
    answer = post(world, beacon())
    assert is_problem(answer, "unavailable", part="broker")
    assert int(answer.headers["retry-after"]) >= 1
    assert not world.health.is_up(Part.BROKER)


def test_a_full_embedded_log_is_a_reason_to_come_back(world: ApiWorld) -> None:
    """503 with `Retry-After`; nothing was taken, and nothing will be missed."""
    full = "4000000 bytes are not consumed yet"
    world.log.refusals = [Overloaded(Part.BROKER, full, retry_after_s=0.1)]
    answer = post(world, beacon())
    assert is_problem(answer, "overloaded", part="broker")
    assert int(answer.headers["retry-after"]) >= 1


def judgement(**facts: Any) -> dict[str, Any]:
    """The body of a judgement."""
    return {"anchor_id": "i1", "image_id": "i2", "grade": 5, "judge": "anna@example"} | facts


def test_a_judgement_reaches_the_log_without_the_judge(world: ApiWorld) -> None:
    """202: keyed by the anchor, the judge a pseudonym that names the key."""
    answer = post(world, judgement(), url=JUDGEMENTS, key="judge", keys=KEYS)
    assert answer.status_code == 202
    [message] = recorded(world, "judgements.v1")
    said = decode(message.value).data
    assert (message.key, said.image_id, said.grade) == (b"i1", "i2", 5)
    assert said.judge_id == "judge~" + IDS.pseudonym("anna@example")
    assert datetime.fromisoformat(answer.json()["judged_at"]) == said.judged_at
    assert b"anna" not in (message.value or b"")


@pytest.mark.parametrize(
    ("key", "kind"),
    [(None, "unauthorized"), ("searcher", "forbidden"), ("writer", "forbidden")],
    ids=["none", "search", "write"],
)
def test_judging_needs_the_scope_judge(world: ApiWorld, key: str | None, kind: str) -> None:
    """No key 401; one that may search or write 403: whoever sells does not also judge."""
    assert is_problem(post(world, judgement(), url=JUDGEMENTS, key=key, keys=KEYS), kind)


@pytest.mark.parametrize("field", ["anchor_id", "image_id"])
@pytest.mark.parametrize("image_id", ["hidden", "never-there"])
def test_what_not_everybody_may_see_is_not_judged(
    world: ApiWorld, field: str, image_id: str
) -> None:
    """404, the same for a private image as for none."""
    answer = post(world, judgement(**{field: image_id}), url=JUDGEMENTS)
    assert is_problem(answer, "not-found")
    assert recorded(world, "judgements.v1") == []


def test_a_kept_upload_can_be_the_anchor_of_a_judgement(world: ApiWorld) -> None:
    """The judgement says where its picture lies, for the data sets."""
    digest, anchor = upload_ids(b"asked by")
    world.store.put("sightline", f"queries/{digest}", b"asked by", content_type="image/jpeg")
    assert post(world, judgement(anchor_id=anchor), url=JUDGEMENTS).status_code == 202
    [message] = recorded(world, "judgements.v1")
    query = decode(message.value).data.query
    assert (query.sha256, query.object.key) == (digest, f"queries/{digest}")


def test_an_upload_that_was_not_kept_is_proved_by_its_search(world: ApiWorld) -> None:
    """However old the search; one by another anchor, or none of ours, proves nothing."""
    anchor = upload_ids(b"nobody kept it", CropBox(x=0, y=0, w=0.5, h=0.5))[1]
    issued = IssuedSearch(
        issued_at=datetime.now(UTC) - timedelta(days=9),
        actor_id="ann",
        anchor_id=anchor,
        variant="default",
    )
    proof = IDS.issue(issued)
    for proven in (None, search_id(), "1" * 80):
        body = judgement(anchor_id=anchor) | ({} if proven is None else {"search_id": proven})
        assert is_problem(post(world, body, url=JUDGEMENTS), "not-found")
    told = judgement(anchor_id=anchor, search_id=proof)
    assert post(world, told, url=JUDGEMENTS).status_code == 202
    assert is_problem(
        post(world, judgement(anchor_id="q-" + "1" * 32, search_id=proof), url=JUDGEMENTS),
        "not-found",
    )


@pytest.mark.parametrize("anchor", ["q-hidden", "q-nothing-at-all", "q-" + "0" * 32])
def test_an_id_like_an_uploads_is_looked_up(world: ApiWorld, anchor: str) -> None:
    """A private image whose id begins with `q-`, an id that nobody has, an upload never made."""
    world.add("q-hidden", 4, visibility=Visibility.PRIVATE)
    assert is_problem(post(world, judgement(anchor_id=anchor), url=JUDGEMENTS), "not-found")
    assert recorded(world, "judgements.v1") == []


@pytest.mark.parametrize(
    "fault", [{"grade": 6}, {"grade": 2.5}, {"grade": "5"}, {"judge": ""}, {"image_id": "/"}]
)
def test_a_judgement_out_of_bounds_is_refused(world: ApiWorld, fault: dict[str, Any]) -> None:
    """422 naming the field."""
    [field] = fault
    assert is_problem(post(world, judgement(**fault), url=JUDGEMENTS), "invalid", field=field)
