from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.exploration import swapped
from sightline.engine.search_ids import SearchIds
from sightline.engine.settings import ApiSettings
from sightline.schemas.registry import decode
from sightline.search_api.app import create_app
from tests.api_parts import KEYS, SECRET, ApiWorld, app_of, client_of, part, picture, run
from tests.waiting import eventually


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Thirty public pictures, every third tagged `third`."""
    world = ApiWorld.open(tmp_path, embedded=True)
    for n in range(30):
        world.add(f"i{n:02}", n, tags=("all", "third") if n % 3 == 0 else ("all",))
    yield world
    world.index.close()


def shown(world: ApiWorld) -> list[Any]:
    """The impressions that were published."""
    return [decode(message.value).data for message in world.log.records["interactions.v1"]]


def test_an_upload_finds_itself_first(world: ApiWorld) -> None:
    """Position 1, cosine 1; the query is stored and the impression says what was shown."""

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post(
            "/v1/search", files=part(7), data={"limit": "5", "session_id": "me"}
        )
        body = answer.json()
        assert answer.status_code == 200
        assert [r["position"] for r in body["results"]] == [1, 2, 3, 4, 5]
        first = body["results"][0]
        assert (first["image_id"], first["score"]) == ("i07", pytest.approx(1.0, abs=1e-4))
        assert body["feedback"] is True
        assert {"receive", "decode", "embed", "index", "rerank", "total"} <= {
            stage.partition(";")[0] for stage in answer.headers["server-timing"].split(", ")
        }

    run(world, scenario)
    (event,) = shown(world)
    assert event.shown[0].image_id == "i07"
    assert event.query.object.key == f"queries/{event.query.sha256}"
    assert world.store.get("sightline", event.query.object.key) == picture(7)
    carried = SearchIds(SECRET).read(event.search_id)
    assert (carried.actor_id, carried.anchor_id) == ("me", event.anchor_id)
    assert carried.issued_at == event.issued_at


def test_a_search_by_id_needs_neither_store_nor_embedder(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers without them, leaves out the image itself, and is recorded."""

    def away(*_: object, **__: object) -> None:
        raise AssertionError("was asked")

    for name in ("get", "put", "stat", "put_if"):
        monkeypatch.setattr(world.store, name, away)
    monkeypatch.setattr(world.embedder, "embed", away)

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/search", json={"image_id": "i03", "user_id": "ann"})
        results = answer.json()["results"]
        assert answer.status_code == 200
        assert len(results) == 24
        assert "i03" not in {r["image_id"] for r in results}

    run(world, scenario)
    (event,) = shown(world)
    assert event.query.image_id == event.anchor_id == "i03"
    assert event.user_pseudonym == event.actor_id == SearchIds(SECRET).pseudonym("ann")


@pytest.mark.parametrize(
    ("key", "actor"), [("site", "user"), ("admin", "user"), ("searcher", "session")]
)
def test_only_a_key_with_the_scope_users_names_one(world: ApiWorld, key: str, actor: str) -> None:
    """Another's searches count for its session: nobody acts in somebody's name."""

    async def main() -> dict[str, Any]:
        app = app_of(world, keys=KEYS)
        async with client_of(app, key=key) as client:
            asked = {"image_id": "i03", "user_id": "ann", "session_id": "me"}
            answer = await client.post("/v1/search", json=asked)
            await app.state.impressions.drain()
            return cast("dict[str, Any]", answer.json())

    assert asyncio.run(main())["actor"] == actor
    (event,) = shown(world)
    pseudonym = SearchIds(SECRET).pseudonym("ann")
    named = (pseudonym, pseudonym) if actor == "user" else ("me", None)
    assert (event.actor_id, event.user_pseudonym) == named


def test_a_session_is_nobodys_pseudonym(world: ApiWorld) -> None:
    """Else who has learned one would act in that user's name."""

    async def scenario(client: httpx.AsyncClient) -> None:
        told = {"image_id": "i03", "session_id": SearchIds(SECRET).pseudonym("ann")}
        answer = await client.post("/v1/search", json=told)
        assert (answer.status_code, answer.json()["field"]) == (422, "session_id")

    run(world, scenario)


def test_tags_filter(world: ApiWorld) -> None:
    """Any, all and none; together they are an AND."""

    async def found(client: httpx.AsyncClient, **tags: list[str]) -> set[str]:
        answer = await client.post("/v1/search", json={"image_id": "i01", "limit": 100, **tags})
        return {r["image_id"] for r in answer.json()["results"]}

    thirds = {f"i{n:02}" for n in range(0, 30, 3)}

    async def scenario(client: httpx.AsyncClient) -> None:
        assert await found(client, tags_any=["third", "never"]) == thirds
        assert await found(client, tags_all=["all", "third"]) == thirds
        rest = await found(client, tags_none=["third"])
        assert rest == {f"i{n:02}" for n in range(30)} - thirds - {"i01"}
        assert await found(client, tags_all=["never"]) == set()

    run(world, scenario)


def test_scores_and_recall_are_told_as_metrics(world: ApiWorld) -> None:
    """First and last score of each page that shows any; recall of a search that was sampled."""
    clock = ManualClock()
    settings = ApiSettings(recall_checks_per_minute=60)
    app = create_app(replace(world.dependencies(settings), clock=clock))

    def told(name: str, **labels: str) -> float | None:
        labels = {**labels, "model": world.embedder.digest}
        return world.metrics.registry.get_sample_value(f"sightline_search_{name}", labels)

    async def scenario() -> list[float]:
        async with client_of(app) as client:
            await client.post("/v1/search", json={"image_id": "i03", "tags_all": ["never"]})
            clock.advance(1)
            answer = await client.post(
                "/v1/search", json={"image_id": "i03", "tags_any": ["third"]}
            )
            await asyncio.to_thread(eventually, lambda: told("recall_count", filtered="yes"))
            return [result["score"] for result in answer.json()["results"]]

    scores = asyncio.run(scenario())
    assert told("recall_sum", filtered="yes") == 1
    for place, score in (("first", scores[0]), ("last", scores[-1])):
        assert told("score_count", by="image", place=place) == 1
        assert told("score_sum", by="image", place=place) == pytest.approx(score, abs=1e-6)


def test_duplicates_collapse_and_the_page_is_refilled(world: ApiWorld) -> None:
    """Copies are counted by reason and replaced; `keep` shows them."""
    for n in range(5):
        world.add(f"copy{n}", 7)

    async def scenario(client: httpx.AsyncClient) -> None:
        body = (await client.post("/v1/search", files=part(7), data={"limit": "10"})).json()
        assert body["removed"] == {"duplicate": 5}
        assert len(body["results"]) == 10
        fields = {"limit": "10", "near_duplicates": "keep"}
        kept = (await client.post("/v1/search", files=part(7), data=fields)).json()
        assert kept["removed"] == {}
        assert {f"copy{n}" for n in range(5)} < {r["image_id"] for r in kept["results"]}

    run(world, scenario)


def test_a_crop_is_another_query(world: ApiWorld) -> None:
    """A box changes what is found and the anchor; the stored picture is the whole one."""

    async def scenario(client: httpx.AsyncClient) -> None:
        fields = {"crop": "0,0,0.5,0.5", "limit": "3"}
        whole = (await client.post("/v1/search", files=part(7), data={"limit": "3"})).json()
        cut = (await client.post("/v1/search", files=part(7), data=fields)).json()
        assert whole["results"][0]["score"] > cut["results"][0]["score"]

    run(world, scenario)
    # They are recorded after the answers, in no particular order.
    whole, cut = sorted(shown(world), key=lambda page: page.query.crop is not None)
    assert whole.anchor_id != cut.anchor_id
    assert whole.query.sha256 == cut.query.sha256
    assert cut.query.crop.w == 0.5


def test_a_query_that_is_not_to_be_kept_leaves_nothing(world: ApiWorld) -> None:
    """`store_query=false`, or the setting: counted as an impression, without the picture."""

    async def scenario(client: httpx.AsyncClient) -> None:
        await client.post("/v1/search", files=part(200), data={"store_query": "false"})

    async def plain(client: httpx.AsyncClient) -> None:
        await client.post("/v1/search", files=part(200))

    run(world, scenario)
    run(world, plain, store_queries=False)
    assert [event.query.object for event in shown(world)] == [None, None]
    assert not list(world.store.list("sightline", "queries/"))


def test_the_same_question_gets_the_same_answer(world: ApiWorld) -> None:
    """Ids and order, from two apps over one index; only the search id differs."""
    answers: list[Any] = []

    async def scenario(client: httpx.AsyncClient) -> None:
        for _ in range(20):
            answer = await client.post("/v1/search", files=part(7))
            answers.append([(r["image_id"], r["score"]) for r in answer.json()["results"]])

    run(world, scenario)
    run(world, scenario)
    assert all(answer == answers[0] for answer in answers)


def test_uploads_under_load_share_forward_passes_and_keep_their_answers(world: ApiWorld) -> None:
    """Sixteen at once: each finds itself."""

    async def scenario(client: httpx.AsyncClient) -> None:
        async def ask(n: int) -> tuple[str, str]:
            answer = await client.post("/v1/search", files=part(n), data={"limit": "1"})
            return f"i{n:02}", answer.json()["results"][0]["image_id"]

        pairs = await asyncio.gather(*(ask(n) for n in range(16)))
        assert all(wanted == found for wanted, found in pairs)

    run(world, scenario)


def test_documents_the_openapi_with_examples(world: ApiWorld) -> None:
    """Every operation has a description, and every body an example."""

    async def scenario(client: httpx.AsyncClient) -> None:
        document = (await client.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                assert operation["description"], (method, path)
                for media in operation.get("requestBody", {}).get("content", {}).values():
                    assert media.keys() & {"example", "examples"}, (method, path)
        assert document["security"]
        assert "UploadSearchForm" in json.dumps(document)

    run(world, scenario, keys=KEYS)


@pytest.mark.parametrize(("share", "variant"), [(0.0, "default"), (1.0, "default.explored")])
def test_pages_that_chance_varies_are_marked(world: ApiWorld, share: float, variant: str) -> None:
    """In the impression and in the sealed id; what is answered is what is recorded."""
    answers: list[list[str]] = []

    async def scenario(client: httpx.AsyncClient) -> None:
        for exact in (False, True):
            told = {"image_id": "i03", "limit": 12, "exact": exact}
            answer = await client.post("/v1/search", json=told)
            answers.append([result["image_id"] for result in answer.json()["results"]])

    run(world, scenario, explore_share=share, explore_new_s=0)
    varied, exact = shown(world)
    assert (varied.variant, exact.variant) == (variant, "default")
    assert SearchIds(SECRET).read(varied.search_id).variant == variant
    assert [image.image_id for image in varied.shown] == answers[0]
    chance = SearchIds(SECRET).chance_of(varied.search_id)
    assert chance is not None
    ranked = sorted(varied.shown, key=lambda image: -image.score)
    again = swapped(ranked, chance) if chance.random() < share else tuple(ranked)
    assert again == varied.shown
    assert sorted(answers[0]) == sorted(answers[1])
    assert share or answers[0] == answers[1]
