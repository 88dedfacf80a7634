"""What bad input gets: a problem document that names the field, and never 500."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sightline.engine.label_data.search_stats import SearchStats
from sightline.search_api.app import create_app
from sightline.search_api.http.problems import PROBLEM_TYPES, URN
from sightline.search_api.http.request_fields import (
    Beacon,
    ImagePatch,
    ImageSearch,
    Judgement,
    RequestModel,
    UploadSearch,
)
from sightline.search_api.http.validation_words import PATTERNS, WORDS
from tests.api_parts import KEYS, ApiWorld, app_of, client_of, picture
from tests.generated_requests import each_case, httpx_of, operations_of, wire
from tests.patience import patient

SEARCH, IMAGES = "/v1/search", "/v1/images"
JSON = {"content-type": "application/json"}
BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """Two pictures."""
    world = ApiWorld.open(tmp_path_factory.mktemp("world"))
    world.add("i1", 1)
    world.add("i2", 2)
    yield world
    world.index.close()


def ask(world: ApiWorld, method: str, url: str, **request: Any) -> httpx.Response:
    """One request to a fresh app."""
    key, limits = request.pop("key", None), request.pop("settings", {})

    async def main() -> httpx.Response:
        async with client_of(app_of(world, **limits), key=key) as client:
            return await client.request(method, url, **request)

    return asyncio.run(main())


def is_problem(answer: httpx.Response, status: int, **facts: str) -> bool:
    """A well-formed problem document with these members."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    kind = document["type"].removeprefix(URN)
    assert (document["status"], document["title"]) == (status, PROBLEM_TYPES[kind][1])
    assert document["detail"]
    assert facts.items() <= document.items(), document
    return True


def part(data: bytes = picture(1)) -> dict[str, tuple[str, bytes, str]]:
    """The multipart part of a picture."""
    return {"image": ("p.jpg", data, "image/jpeg")}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"image_id": "i1", "limit": 0}, "limit"),
        ({"image_id": "i1", "limit": 101}, "limit"),
        ({"image_id": "i1", "limit": "many"}, "limit"),
        ({"image_id": "i1", "tags_any": [""]}, "tags_any.0"),
        ({"image_id": "i1", "tags_all": ["x" * 65]}, "tags_all.0"),
        ({"image_id": "i1", "tags_none": ["x"] * 65}, "tags_none"),
        ({"image_id": "a/b"}, "image_id"),
        ({"image_id": 7}, "image_id"),
        ({}, "image_id"),
        ({"image_id": "i1", "limt": 3}, "limt"),
        ({"image_id": "i1", "crop": "0,0,1,1"}, "crop"),
        ({"image_id": "i1", "session_id": "é"}, "session_id"),
        ({"image_id": "i1", "near_duplicates": "maybe"}, "near_duplicates"),
        ({"image_id": "i1", "location": {"country": "Germany"}}, "location.country"),
    ],
)
def test_a_wrong_field_is_named(world: ApiWorld, body: dict[str, Any], field: str) -> None:
    """422 with the field's path, by JSON."""
    assert is_problem(ask(world, "POST", SEARCH, json=body), 422, field=field)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"crop": "1,2,3"}, "crop"),
        ({"crop": "nan,0,1,1"}, "crop"),
        ({"crop": "0.5,0,0.6,1"}, "crop"),
        ({"crop": "0,0,0,1"}, "crop.w"),
        ({"exact": "perhaps"}, "exact"),
        ({"location": "{"}, "location"),
        ({"image_id": "i1"}, "image_id"),
    ],
)
def test_a_wrong_form_field_is_named(world: ApiWorld, fields: dict[str, Any], field: str) -> None:
    """422 with the field's path, by multipart."""
    answer = ask(world, "POST", SEARCH, files=part(), data=fields)
    assert is_problem(answer, 422, field=field)


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"json": {"image_id": "a/b"}}, "image_id: must be 1 to 128 of the characters"),
        ({"json": {"image_id": "i1", "limt": 3}}, "limt: unknown field"),
        ({"json": {"image_id": "i1", "crop": "0,0,1,1"}}, "crop: unknown field; it goes with a"),
        ({"json": {}}, "image_id: is missing"),
        ({"json": {"image_id": "i1", "limit": 101}}, "limit: must be at most 100"),
        ({"json": {"image_id": "i1", "tags_none": ["x"] * 65}}, "tags_none: must have at most 64"),
        ({"json": {"image_id": "i1", "near_duplicates": "x"}}, "must be 'collapse' or 'keep'"),
        ({"json": {"image_id": "i1", "exact": "perhaps"}}, "exact: must be true or false"),
        ({"files": part(), "data": {"image_id": ""}}, "to search by an image's id, send JSON"),
        ({"files": {"picture": b"x"}}, "picture: unknown part; the picture goes in `image`"),
        ({"files": {"tags_any": b"x"}}, "tags_any must be text, not a file"),
        ({"files": part(), "data": {"crop": "0.5,0,0.6,1"}}, "crop: the box leaves the image"),
    ],
)
def test_what_is_wrong_is_said_in_our_words(
    world: ApiWorld, request_of: dict[str, Any], words: str
) -> None:
    """What to send, not what the library that checks it calls it."""
    detail = ask(world, "POST", SEARCH, **request_of).json()["detail"]
    assert words in detail
    assert not re.search("should|Input|String|Extra|Value error|validation", detail)


@pytest.mark.parametrize("since", ["2026-11-01", "20261101", "1732752000", "2026-11-01T00:00Z"])
def test_a_time_without_its_zone_is_told_the_format(world: ApiWorld, since: str) -> None:
    """A date alone is a day somewhere, so it is none here; digits alone are no time."""
    app = create_app(replace(world.dependencies(), stats=SearchStats()))

    async def main() -> httpx.Response:
        async with client_of(app) as client:
            return await client.get(f"/v1/stats?since={since}")

    answer = asyncio.run(main())
    assert is_problem(answer, 422, field="since")
    assert answer.json()["detail"].endswith("with its zone, like 2026-11-01T00:00:00Z")


def test_no_bound_of_a_request_is_without_words() -> None:
    """Each constraint that a request model states has its sentence, and each pattern its own."""
    wrong: dict[type[RequestModel], list[dict[str, Any]]] = {
        Beacon: [
            {"search_id": " ", "items": []},
            {"search_id": "s", "items": [{"kind": "x", "image_id": " ", "position": 0}]},
            {"search_id": "s", "items": [{"dwell_ms": -1, "in_view_ms": 2**60, "event_id": 1}]},
            {"search_id": "s", "items": 7, "more": 1},
        ],
        Judgement: [{"grade": 6, "judge": ""}, {"grade": "x", "anchor_id": 1, "judge": "x" * 999}],
        ImagePatch: [{"visibility": None}, {"tags": "x", "attributes": 1, "version": 1.5}],
        UploadSearch: [{"crop": {"x": "a", "y": 2, "w": 0, "h": -1}, "location": {"country": "x"}}],
    }
    for model, bodies in wrong.items():
        for body in bodies:
            with pytest.raises(ValidationError) as caught:
                model.model_validate_json(json.dumps(body))
            for error in caught.value.errors():
                assert error["type"] in WORDS, error
                pattern = error.get("ctx", {}).get("pattern")
                assert pattern is None or pattern in PATTERNS, error


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"version": "-1"}, "version"),
        ({"version": str(2**53)}, "version"),
        ({"version": "one"}, "version"),
        ({"visibility": "secret"}, "visibility"),
        ({"tags": ["x" * 65]}, "tags.0"),
        ({"attributes": "[1]"}, "attributes"),
        ({"attributes": "[" * 5000}, "attributes"),
        ({"attributes": '{"n": NaN}'}, "attributes"),
        ({"attributes": '{"n": "' + "x" * 4096 + '"}'}, "attributes"),
        ({"owner_id": "a b"}, "owner_id"),
    ],
)
def test_a_wrong_image_field_is_named(world: ApiWorld, fields: dict[str, Any], field: str) -> None:
    """422 with the field's path, and nothing is published."""
    before = len(world.log.records["images.v1"])
    answer = ask(world, "PUT", f"{IMAGES}/new", files=part(), data=fields)
    assert is_problem(answer, 422, field=field)
    assert len(world.log.records["images.v1"]) == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 30_000, b'{"image_id": "\\ud800"}']
)
def test_a_body_that_is_no_json_is_400(world: ApiWorld, body: bytes) -> None:
    """Empty, cut short, not UTF-8, nested beyond reason."""
    assert is_problem(ask(world, "POST", SEARCH, content=body, headers=JSON), 400)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"garbage", 400),
        (b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\nxx', 400),
        (b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nxx\r\n--b--\r\n', 422),
    ],
)
def test_a_truncated_form_is_refused(world: ApiWorld, body: bytes, status: int) -> None:
    """400 where it cannot be read, 422 where the picture is missing."""
    assert is_problem(ask(world, "POST", SEARCH, content=body, headers=BOUNDARY), status)


@pytest.mark.parametrize("charset", ["undefined", "punycode"])
def test_a_charset_that_is_none_is_refused(world: ApiWorld, charset: str) -> None:
    """Python has codecs that fail in their own ways."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\nxx\r\n--b--\r\n'
    )
    headers = {"content-type": f"{BOUNDARY['content-type']}; charset={charset}"}
    assert is_problem(ask(world, "POST", SEARCH, content=body, headers=headers), 400)


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", 422, "empty"),
        (b"hello, I am no picture", 415, "unsupported_media"),
        (b"%PDF-1.7 ...", 415, "unsupported_media"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_media"),
        (picture(1)[:200], 422, None),
    ],
)
@pytest.mark.parametrize("url", [SEARCH, IMAGES])
def test_what_is_no_picture_says_why(
    world: ApiWorld, url: str, data: bytes, status: int, reason: str | None
) -> None:
    """By search and by upload alike, with the machine-readable reason."""
    answer = ask(world, "POST", url, files=part(data))
    facts = {} if reason is None else {"reason": reason}
    assert is_problem(answer, status, field="image", **facts)


def test_every_nasty_file_gets_its_verdict(world: ApiWorld, nasty: Path) -> None:
    """All of the hostile collection over HTTP: answered or refused with a reason, never 500."""
    paths = sorted((nasty / "files").iterdir())

    async def main() -> None:
        async with client_of(app_of(world)) as client:
            for path in paths:
                answer = await client.post(SEARCH, files=part(path.read_bytes()))
                assert answer.status_code in (200, 413, 415, 422), (path.name, answer.text)
                if answer.status_code != 200:
                    assert is_problem(answer, answer.status_code, field="image")

    assert paths
    asyncio.run(main())


@pytest.mark.parametrize("kind", ["text/plain", "image/jpeg", ""])
def test_another_content_type_is_415(world: ApiWorld, kind: str) -> None:
    """Neither JSON nor multipart."""
    answer = ask(world, "POST", SEARCH, content=b"x", headers={"content-type": kind})
    assert is_problem(answer, 415)


def test_a_stated_length_over_the_limit_is_413(world: ApiWorld) -> None:
    """Before a byte is read."""
    answer = ask(world, "POST", SEARCH, files=part(b"x" * 5000), settings={"max_body_bytes": 1000})
    assert is_problem(answer, 413)


def test_a_chunked_body_is_cut_at_the_limit(world: ApiWorld) -> None:
    """Endless and without a length: it is read to the limit and no further."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n'
        while True:
            read += 1000
            yield b"x" * 1000

    answer = ask(
        world,
        "POST",
        SEARCH,
        content=endless(),
        headers=BOUNDARY,
        settings={"max_body_bytes": 50_000},
    )
    assert is_problem(answer, 413)
    assert read <= 52_000


def test_a_body_that_trickles_is_408(world: ApiWorld) -> None:
    """Cut off in the middle, of a form and of JSON."""

    async def stuck() -> AsyncIterator[bytes]:
        yield b"--"
        await asyncio.Event().wait()

    for headers in (JSON, BOUNDARY):
        limits = {"body_timeout_s": 0.05}
        answer = ask(world, "POST", SEARCH, content=stuck(), headers=headers, settings=limits)
        assert is_problem(answer, 408, field="body")
        assert answer.headers["connection"] == "close"


def test_a_large_json_body_is_413(world: ApiWorld) -> None:
    """JSON has a bound of its own."""
    answer = ask(world, "POST", SEARCH, content=b" " * 70_000, headers=JSON)
    assert is_problem(answer, 413)


@pytest.mark.parametrize("image_id", ["a%20b", "x" * 129, "caf%C3%A9", "%2E", "%2E%2E"])
def test_an_id_that_can_be_none_is_422(world: ApiWorld, image_id: str) -> None:
    """In the path too."""
    assert is_problem(ask(world, "GET", f"{IMAGES}/{image_id}"), 422, field="image_id")


@pytest.mark.parametrize("path", ["/nope", "/v1/images/a/b/c", "/v1/search/", "/docs"])
def test_an_unknown_address_is_404(world: ApiWorld, path: str) -> None:
    """As a problem document, too."""
    assert is_problem(ask(world, "GET", path), 404)


def test_another_method_is_405(world: ApiWorld) -> None:
    """And says which are taken."""
    answer = ask(world, "PUT", SEARCH)
    assert is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("value", ["1", "abc", '"', "", "*, *", '"1" "2"', '"1", 2'])
def test_a_malformed_if_match_is_422(world: ApiWorld, value: str) -> None:
    """It is no entity tag; a tag that is none of ours is 412."""
    url = f"{IMAGES}/i1"
    answer = ask(world, "PATCH", url, json={"tags": []}, headers={"If-Match": value})
    assert is_problem(answer, 422, field="If-Match")
    for other in ('"x"', 'W/"1"', '"99"', '"01"', '"2", W/"1"', '""'):
        answer = ask(world, "PATCH", url, json={"tags": []}, headers={"If-Match": other})
        assert is_problem(answer, 412, field="If-Match")


@pytest.mark.parametrize(
    "query",
    [
        *(
            f"timeout_s={said}"
            for said in ("-1", "nan", "1e9", "1_0", "1e1", "%2B1", ".5", "%D9%A3")
        ),
        "wait=x",
    ],
)
def test_a_wrong_query_parameter_is_named(world: ApiWorld, query: str) -> None:
    """Nothing is published."""
    answer = ask(world, "DELETE", f"{IMAGES}/i1?{query}")
    assert is_problem(answer, 422, field=query.partition("=")[0])


@pytest.mark.parametrize(
    ("method", "query", "field"),
    [
        ("DELETE", "version=1&version=2", "version"),
        ("PUT", "wait=searchable&timeout_s=1&timeout_s=2", "timeout_s"),
        ("GET", "odd=1&odd=1", "odd"),
        ("DELETE", "version=1.0", "version"),
        ("DELETE", "version=1_0", "version"),
        ("DELETE", "version=%2B1", "version"),
        ("DELETE", "version=%D9%A3", "version"),
    ],
)
def test_a_query_parameter_is_read_as_strictly_as_a_body(
    world: ApiWorld, method: str, query: str, field: str
) -> None:
    """Nothing is there twice, and whole numbers are digits."""
    assert is_problem(ask(world, method, f"/v1/images/i1?{query}", files=part()), 422, field=field)


def test_an_invented_method_is_no_series_of_its_own(world: ApiWorld) -> None:
    """Else whoever invents enough of them fills the memory with metrics."""
    for n in range(3):
        assert is_problem(ask(world, f"INVENTED{n}", SEARCH), 405)
    told = ask(world, "GET", "/metrics").text
    assert 'method="any",route="/v1/search",status="405"' in told
    assert "INVENTED" not in told


def test_keys_are_needed_where_there_are_keys(world: ApiWorld) -> None:
    """401 without or with a wrong one; both headers are taken; 403 without the scope."""
    limits = {"keys": KEYS}
    body = {"image_id": "i1"}
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Basic searcher"}):
        answer = ask(world, "POST", SEARCH, json=body, headers=headers, settings=limits)
        assert is_problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for headers in ({"X-API-Key": "searcher"}, {"Authorization": "bearer searcher"}):
        answer = ask(world, "POST", SEARCH, json=body, headers=headers, settings=limits)
        assert answer.status_code == 200
    answer = ask(world, "POST", SEARCH, json=body, key="writer", settings=limits)
    assert is_problem(answer, 403)


def test_pages_of_other_sites_may_not_use_an_open_api(world: ApiWorld) -> None:
    """A browser on this machine would send their requests here: by Origin, by a rebound name."""
    body = {"image_id": "i1"}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "http://[x"},
        {"Host": "evil.example"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
    ):
        assert is_problem(ask(world, "POST", SEARCH, json=body, headers=headers), 403)
    own = ask(world, "POST", SEARCH, json=body, headers={"Origin": "http://localhost"})
    assert own.status_code == 200


def test_too_many_requests_are_429(world: ApiWorld) -> None:
    """With the time after which the next one is heard."""

    async def main() -> None:
        async with client_of(app_of(world, requests_per_minute=10)) as client:
            for _ in range(10):
                assert (await client.get(f"{IMAGES}/i1")).status_code == 200
            answer = await client.get(f"{IMAGES}/i1")
            assert is_problem(answer, 429)
            assert 1 <= int(answer.headers["retry-after"]) <= 7

    asyncio.run(main())


@given(body=st.binary(max_size=300))
@settings(max_examples=60)
def test_any_bytes_as_a_form_are_never_500(world: ApiWorld, body: bytes) -> None:
    """Whatever follows the boundary."""
    answer = ask(world, "POST", SEARCH, content=b"--b\r\n" + body, headers=BOUNDARY)
    assert answer.status_code < 500


def test_nothing_generated_from_the_openapi_is_answered_with_500(world: ApiWorld) -> None:
    """Schemathesis over every operation, valid and invalid input; statuses are documented ones."""
    app = app_of(world, requests_per_minute=1_000_000)
    operations = operations_of(app)
    assert len(operations) >= 10

    async def call(case: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(**httpx_of(wire(case)))

    def explore(loop: asyncio.AbstractEventLoop, operation: Any) -> None:
        codes = operation.responses.status_codes
        documented = {int(code) for code in codes if code.isdigit()}

        def check(case: Any) -> None:
            answer = asyncio.run_coroutine_threadsafe(call(case), loop).result(patient(60))
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            assert answer.status_code in documented | {405}, (case, answer.text)

        each_case(operation, 12, check)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with app.router.lifespan_context(app):
            for operation in operations:
                await asyncio.to_thread(explore, loop, operation)

    asyncio.run(main())


def test_the_fields_of_the_form_and_of_the_schema_are_the_same(world: ApiWorld) -> None:
    """What OpenAPI says of a JSON search is what is validated."""
    document = app_of(world).openapi()
    said = document["components"]["schemas"]["ImageSearch"]["properties"]
    assert said.keys() == ImageSearch.model_fields.keys()
