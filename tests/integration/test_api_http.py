"""HTTP as its RFCs say it, for every route; and strangers' bodies that hold nobody up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.errors import Part
from sightline.search_api.http.bodies.form_reading import (
    MAX_FIELD_BYTES,
    MAX_OTHER_BYTES,
    MAX_PARTS,
)
from sightline.search_api.operations import readiness
from sightline.search_api.operations.readiness import Readiness
from sightline.search_api.threads.pools import ApiThreads
from tests.api_parts import KEYS, ApiWorld, picture, run, run_with, serving
from tests.generated_requests import POOL, app_of_every_route, documented_routes

pytestmark = pytest.mark.integration

SEARCH, IMAGES = "/v1/search", "/v1/images"
FORM = {"content-type": "multipart/form-data; boundary=b"}
PICTURE = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n%s\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """Two pictures."""
    world = ApiWorld.open(tmp_path_factory.mktemp("world"))
    world.add("i1", 1)
    world.add("i2", 2)
    yield world
    world.index.close()


def test_head_is_get_without_its_body(world: ApiWorld) -> None:
    """Same status and headers, by every address that takes GET."""

    async def scenario(client: httpx.AsyncClient) -> None:
        got = [filled(route) for route in documented_routes() if route.startswith("GET ")]
        for address in [*got, "/", "/page/app.js", "/openapi.json", "/sightline.js"]:
            head, whole = await client.head(address), await client.get(address)
            assert head.status_code == whole.status_code, address
            assert head.content == b""
            assert head.headers.keys() == whole.headers.keys(), address
            if address not in ("/metrics", "/readyz"):
                assert head.headers["content-length"] == whole.headers["content-length"]
        assert (await client.head(f"{IMAGES}/nobody")).status_code == 404

    run_with(app_of_every_route(world), scenario)


def filled(route: str) -> str:
    """The path of a route about an image, or a pool, that is there."""
    return route.split()[1].replace("{image_id}", "i1").replace("{pool}", POOL)


def test_every_address_says_which_methods_it_takes(world: ApiWorld) -> None:
    """`OPTIONS` with 204 and without a key, any other method with 405; `Allow` names them all."""
    wanted = {
        SEARCH: "POST",
        IMAGES: "POST",
        f"{IMAGES}/i1": "GET, PUT, PATCH, DELETE, HEAD",
        f"{IMAGES}/i1/content": "GET, HEAD",
        "/readyz": "GET, HEAD",
        "/": "GET, HEAD",
    }

    async def scenario(client: httpx.AsyncClient) -> None:
        for address, methods in wanted.items():
            told = await client.options(address)
            assert (told.status_code, told.headers["allow"]) == (204, methods), address
            refused = await client.request("TRACE", address)
            assert (refused.status_code, refused.headers["allow"]) == (405, methods), address
        for route in documented_routes():
            told = await client.options(filled(route))
            assert told.status_code == 204, route
            assert route.split()[0] in told.headers["allow"].split(", "), route
        assert (await client.options("/nope")).status_code == 404

    run_with(app_of_every_route(world, keys=KEYS), scenario)


@pytest.mark.parametrize("address", [f"{IMAGES}/i1/content", f"{IMAGES}/i1/thumbnail", "/"])
def test_what_the_caller_has_is_not_sent_again(world: ApiWorld, address: str) -> None:
    """304 for `*`, for a list and for weak tags; a tag that only resembles it is another."""

    async def scenario(client: httpx.AsyncClient) -> None:
        whole = await client.get(address)
        tag = whole.headers["etag"]
        for known in ("*", tag, f"W/{tag}", f'"x", {tag}', f'W/"x" ,{tag}', f",{tag}, ,"):
            for method in ("GET", "HEAD"):
                answer = await client.request(method, address, headers={"If-None-Match": known})
                assert (answer.status_code, answer.content) == (304, b""), (method, known)
                assert answer.headers["etag"] == tag
                assert answer.headers["cache-control"] == whole.headers["cache-control"]
                assert "content-type" not in answer.headers
        twice = [("If-None-Match", '"x"'), ("If-None-Match", tag)]
        assert (await client.get(address, headers=twice)).status_code == 304
        for other in (
            '"x"',
            tag[:-1] + 'x"',
            tag.strip('"'),
            f"{tag}x",
            f'"x{tag}',
            ",",
            f"{tag} {tag}",
        ):
            answer = await client.get(address, headers={"If-None-Match": other})
            assert answer.status_code == 200, other
        nobody = await client.get(f"{IMAGES}/nobody/content", headers={"If-None-Match": "*"})
        assert nobody.status_code == 404

    run(world, scenario)


def test_what_is_another_one_by_now_is_not_read(world: ApiWorld) -> None:
    """412 for `If-Match`, which compares strongly (RFC 9110, 13.1.1)."""
    wanted = {
        "*": 200,
        "%s": 200,
        '"x",, %s,': 200,
        ",": 412,
        '"x"': 412,
        "W/%s": 412,
        "x": 412,
        "": 412,
    }

    async def scenario(client: httpx.AsyncClient) -> None:
        for address in (f"{IMAGES}/i1/content", f"{IMAGES}/i1", "/"):
            tag = (await client.get(address)).headers["etag"]
            for given, status in wanted.items():
                headers = {"If-Match": given.replace("%s", tag)}
                for method in ("GET", "HEAD"):
                    answer = await client.request(method, address, headers=headers)
                    assert (answer.status_code, answer.headers["etag"]) == (status, tag), given
            assert (await client.options(address, headers={"If-Match": '"x"'})).status_code == 204
        untagged = await client.get("/healthz", headers={"If-Match": '"x"'})
        assert (untagged.status_code, untagged.json()["field"]) == (412, "If-Match")
        assert (await client.get("/healthz", headers={"If-Match": "*"})).status_code == 200
        nobody = await client.get(f"{IMAGES}/nobody", headers={"If-Match": "*"})
        assert nobody.status_code == 404

    run(world, scenario)


def test_a_part_of_a_picture_never_stands_for_the_whole(world: ApiWorld) -> None:
    """`Content-Range` on a write is 400 (RFC 9110, 14.5), and nothing is stored."""

    async def scenario(client: httpx.AsyncClient) -> None:
        for method, address in (("PUT", f"{IMAGES}/part"), ("POST", IMAGES), ("POST", SEARCH)):
            files = {"image": ("p.jpg", picture(5), "image/jpeg")}
            headers = {"Content-Range": "bytes 0-99/1000"}
            answer = await client.request(method, address, files=files, headers=headers)
            assert answer.status_code == 400, address
        assert (await client.get(f"{IMAGES}/part")).status_code == 404

    run(world, scenario)


@pytest.mark.parametrize(
    ("name", "status", "values"),
    [
        ("content-type", 400, ["application/json", "text/plain"]),
        ("content-type", 400, ["application/json", "application/json"]),
        ("content-encoding", 415, ["identity", "gzip"]),
        ("content-encoding", 200, ["identity"]),
        ("content-encoding", 200, ["", "identity, Identity,"]),
    ],
)
def test_a_body_is_of_one_type_and_packed_in_no_way(
    world: ApiWorld, name: str, status: int, values: list[str]
) -> None:
    """Also where a header is there twice: readers differ in which of the two they believe."""

    async def scenario(client: httpx.AsyncClient) -> None:
        kind = [] if name == "content-type" else [("content-type", "application/json")]
        headers = [*kind, *((name, value) for value in values)]
        answer = await client.post(SEARCH, content=b'{"image_id":"i1"}', headers=headers)
        assert answer.status_code == status

    run(world, scenario)


def test_a_status_is_told_anew_for_its_own_tag(world: ApiWorld) -> None:
    """It changes from pending to indexed within a version, which is its ETag; `*` is any status."""

    async def scenario(client: httpx.AsyncClient) -> None:
        tag = (await client.get(f"{IMAGES}/i1")).headers["etag"]
        same = await client.get(f"{IMAGES}/i1", headers={"If-None-Match": tag})
        anything = await client.get(f"{IMAGES}/i1", headers={"If-None-Match": "*"})
        assert (same.status_code, anything.status_code) == (200, 304)

    run(world, scenario)


def test_a_write_may_ask_that_there_is_nothing_yet(world: ApiWorld) -> None:
    """`If-None-Match: *` creates and never replaces; a tag bars its version."""

    async def scenario(client: httpx.AsyncClient) -> None:
        async def put(image_id: str, **headers: str) -> int:
            files = {"image": ("p.jpg", picture(77), "image/jpeg")}
            answer = await client.put(f"{IMAGES}/{image_id}", files=files, headers=headers)
            return answer.status_code

        nothing = {"If-None-Match": "*"}
        assert await put("created", **nothing) == 202
        assert await put("created", **nothing) == 412
        assert await put("created", **{"If-None-Match": 'W/"1"'}) == 412
        assert await put("created", **{"If-None-Match": '"7"'}) == 202
        both = {"If-None-Match": '"7"', "If-Match": '"8"'}
        assert await put("created", **both) == 412
        assert await put("created", **{"If-None-Match": "7"}) == 422
        refused = await client.delete(f"{IMAGES}/created", headers=nothing)
        assert refused.status_code == 412
        assert refused.json()["field"] == "If-None-Match"

    run(world, scenario)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"image_id": "i1", "limit": True}, "limit"),
        ({"image_id": "i1", "limit": "3"}, "limit"),
        ({"image_id": "i1", "limit": 3.0}, "limit"),
        ({"image_id": "i1", "exact": 1}, "exact"),
        ({"image_id": "i1", "exact": "true"}, "exact"),
        ({"image_id": "i1", "tags_any": "a"}, "tags_any"),
        ({"image_id": "i1", "location": "DE"}, "location"),
    ],
)
def test_json_has_types_of_its_own(world: ApiWorld, body: dict[str, Any], field: str) -> None:
    """`true` is no number, `"3"` neither, 1 is no truth."""

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post(SEARCH, json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)

    run(world, scenario)


@pytest.mark.parametrize(
    "body",
    [
        b'{"image_id":"i1","limit":3,"limit":4}',
        b'{"image_id":"i1","location":{"country":"DE","country":"FR"}}',
    ],
)
def test_a_field_stands_once_in_json(world: ApiWorld, body: bytes) -> None:
    """Else two readers could each take another one."""

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post(
            SEARCH, content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400
        assert "twice" in answer.json()["detail"]

    run(world, scenario)


@pytest.mark.parametrize("fields", [{"limit": "--5"}, {"limit": "٣"}, {"crop": "0_1,0,1,1"}])
def test_numbers_in_forms_are_plain(world: ApiWorld, fields: dict[str, str]) -> None:
    """Not all that Python's own numbers are made of."""

    async def scenario(client: httpx.AsyncClient) -> None:
        files = {"image": ("p.jpg", picture(1), "image/jpeg")}
        answer = await client.post(SEARCH, files=files, data=fields)
        assert (answer.status_code, answer.json()["field"]) == (422, next(iter(fields)))

    run(world, scenario)


def test_a_compressed_body_is_415(world: ApiWorld) -> None:
    """It would be read as it is, and be no JSON; the answer says what is taken."""

    async def scenario(client: httpx.AsyncClient) -> None:
        for kind in ("application/json", FORM["content-type"]):
            headers = {"content-type": kind, "content-encoding": "gzip"}
            answer = await client.post(SEARCH, content=b"x", headers=headers)
            assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")

    run(world, scenario)


@pytest.mark.parametrize(
    ("before", "behind"),
    [(b"A preamble.\r\n", b""), (b"", b"\r\nAn epilogue."), (b"\r\n", b"\r\n")],
)
def test_what_stands_around_a_form_is_passed_over(
    world: ApiWorld, before: bytes, behind: bytes
) -> None:
    """RFC 2046, section 5.1.1."""
    body = before + FIELD % (b"limit", b"1") + PICTURE % picture(1) + b"--b--" + behind

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post(SEARCH, content=body, headers=FORM)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["results"]) == 1

    run(world, scenario)


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "unicode_escape", "latin-1"])
def test_a_form_in_another_charset_is_refused_unread(world: ApiWorld, charset: str) -> None:
    """Python's codecs take minutes over 3 MiB of the wrong text."""
    text = b"a" * 10 + b"-" + b"b" * 8_000
    body = FIELD % (b"tags", text) * 390 + PICTURE % picture(1) + b"--b--\r\n"
    kind = {"content-type": f"{FORM['content-type']}; charset={charset}"}
    read = 0

    async def chunks() -> Any:
        nonlocal read
        for start in range(0, len(body), 65_536):
            read += 1
            yield body[start : start + 65_536]

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post(SEARCH, content=chunks(), headers=kind)
        assert answer.status_code == 400
        assert "UTF-8" in answer.json()["detail"]
        assert read == 0

    run(world, scenario)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        (FIELD % (b"tags_any", b"x" * (MAX_FIELD_BYTES + 1)), "tags_any"),
        (FIELD % (b"tags_any", b"x") * (MAX_PARTS + 1), "body"),
        (FIELD % (b"tags_any", b"x" * 8_000) * (MAX_OTHER_BYTES // 8_000 + 1), "body"),
        ((PICTURE % (b"x" * 8_000)).replace(b'"image"', b'"other"') * 17, "body"),
    ],
)
def test_all_but_the_picture_is_bounded(world: ApiWorld, parts: bytes, field: str) -> None:
    """Each field, their number, and what they come to together; 413."""

    async def scenario(client: httpx.AsyncClient) -> None:
        body = parts + PICTURE % picture(1) + b"--b--\r\n"
        answer = await client.post(SEARCH, content=body, headers=FORM)
        assert answer.status_code == 413, answer.text
        assert answer.json()["field"] == field

    run(world, scenario)


def test_all_fields_at_their_bounds_still_fit(world: ApiWorld) -> None:
    """Three lists of 64 tags of 64 characters of 4 bytes, and the rest."""
    tags = [f"{n:02}" + "\U0001f457" * 62 for n in range(64)]
    fields = {"tags_any": tags, "tags_all": tags, "tags_none": tags, "limit": "3"}

    async def scenario(client: httpx.AsyncClient) -> None:
        files = {"image": ("p.jpg", picture(1), "image/jpeg")}
        answer = await client.post(SEARCH, files=files, data=fields)
        assert answer.status_code == 200, answer.text

    run(world, scenario)


def test_many_who_ask_for_readiness_cost_one_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 at once, and those who come soon after; nobody who leaves ends it for the others."""
    monkeypatch.setattr(readiness, "FRESH_S", math.inf)
    world = ApiWorld.open(tmp_path)
    asked = 0

    def probe() -> None:
        nonlocal asked
        asked += 1

    async def main() -> None:
        threads = ApiThreads.made(searches=1, decoding=1, embedding=1, probed=[Part.BROKER])
        asking = Readiness(
            world.health,
            {Part.BROKER: probe},
            threads.probes,
            pairs=serving(world.embedder, world.index),
        )
        first = asyncio.create_task(asking.document(insider=True))
        await asyncio.sleep(0)
        others = [asking.document(insider=False) for _ in range(300)]
        told = asyncio.gather(*others)
        first.cancel()
        assert all(one["parts"]["broker"]["up"] for one in await told)
        await asking.document(insider=True)
        assert asked == 1
        threads.close()

    asyncio.run(main())
    world.index.close()
