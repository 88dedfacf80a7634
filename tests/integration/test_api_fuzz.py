"""Whatever is sent to whatever route: an answer, a refusal that is a problem, and never 500."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from sightline.schemas.fields import Moderation, Visibility
from sightline.search_api.http.problems import MEDIA_TYPE, PROBLEM_TYPES, URN
from tests.api_parts import KEYS, ApiWorld
from tests.generated_requests import app_of_every_route
from tests.hostile_requests import SMALL, WANTED, requests
from tests.raw_requests import RawAnswer, RawRequest, ask

HIDDEN = ("private-1", "blocked-1", "deleted-1")
ABSENT = "neverwas1"
"""As long as the hidden ones."""
OTHER_BYTES = RawRequest(
    method="PUT",
    path="/v1/images/i0",
    query=b"timeout_s=0",
    headers=(
        (b"x-api-key", b"writer"),
        (b"content-type", b"multipart/form-data; boundary=b"),
    ),
    body=(
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n' + SMALL,
        b'\r\n--b\r\nContent-Disposition: form-data; name="version"\r\n\r\n1\r\n--b--\r\n',
    ),
    whole=True,
)
"""Under the present version, which is 409: few of the forms that are drawn are sound enough."""
BOUNDED = settings(
    max_examples=800,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Served:
    """A started app and the loop that it runs on."""

    app: FastAPI
    loop: asyncio.Runner

    def ask(self, request: RawRequest) -> RawAnswer:
        """One request."""
        return self.loop.run(ask(self.app, request))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Every route there is, over public, private, blocked and deleted images."""
    world = ApiWorld.open(tmp_path_factory.mktemp("fuzz"), embedded=True)
    for n in range(3):
        world.add(f"i{n}", n, owner_id="shop")
    world.add("private-1", 11, owner_id="shop", visibility=Visibility.PRIVATE)
    world.add("blocked-1", 12, owner_id="shop", moderation=Moderation.BLOCKED)
    world.add("deleted-1", 13, owner_id="shop")
    world.publisher.delete(world.index.get(["deleted-1"])["deleted-1"].state, version=2)
    world.work()
    app = _app(world)
    with asyncio.Runner() as loop:
        stack = AsyncExitStack()
        loop.run(stack.enter_async_context(app.router.lifespan_context(app)))
        yield Served(app, loop)
        loop.run(stack.aclose())
    world.index.close()


def _app(world: ApiWorld) -> FastAPI:
    return app_of_every_route(world, keys=KEYS, cors_origins=("https://a.example",))


def _paths(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every operation; those that take bodies more often."""
    listed = [
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method in operations
    ]
    with_bodies = [one for one in listed if one[0] in ("POST", "PUT", "PATCH")]
    return [*listed, *with_bodies * 2, ("GET", "/"), ("GET", "/openapi.json")]


def is_fair(request: RawRequest, answer: RawAnswer) -> bool:
    """Foreseen, and a well-formed problem where it is none of the good answers."""
    assert answer.status < 500 or answer.status == 503, (request, answer)
    assert answer.header(b"x-content-type-options") == b"nosniff"
    preflight = request.method == "OPTIONS" and b"origin" in dict(request.headers)
    if answer.status < 400 or preflight:
        return True
    assert answer.header(b"content-type") == MEDIA_TYPE.encode(), (request, answer)
    document = json.loads(answer.body)
    status, title = PROBLEM_TYPES[document["type"].removeprefix(URN)]
    assert (document["status"], document["title"]) == (status, title) == (answer.status, title)
    assert document["detail"]
    if answer.status == 503:
        assert document["part"]
        assert answer.header(b"retry-after")
    return True


def test_nothing_that_is_sent_is_answered_with_500(served: Served) -> None:
    """Any route, method, header, parameter and body: an answer or a well-formed problem."""
    statuses: Counter[int] = Counter()

    @given(request=requests(_paths(served.app)))
    @example(request=OTHER_BYTES)
    @BOUNDED
    def check(request: RawRequest) -> None:
        answer = served.ask(request)
        statuses[answer.status] += 1
        assert is_fair(request, answer)

    check()
    for status in (200, 202, 400, 401, 403, 404, 405, 409, 415, 422):
        assert statuses[status], statuses  # the requests get everywhere


@pytest.mark.parametrize("hidden", HIDDEN)
def test_no_request_tells_a_hidden_image_from_none(served: Served, hidden: str) -> None:
    """The same request about an image that is not there gets the same answer, word for word."""
    about = [(m, p) for m, p in _paths(served.app) if "{image_id}" in p or p in WANTED]

    def of(request: RawRequest, image_id: str, key: bytes) -> RawRequest:
        body = re.sub(rb'"(i0|private-1)"', b'"%s"' % image_id.encode(), b"".join(request.body))
        return replace(
            request,
            path=request.path.replace("private-1", image_id),
            headers=(*request.headers, (b"x-api-key", key)),
            body=(body,),
        )

    def essence(answer: RawAnswer, image_id: str) -> tuple[int, Any, bytes]:
        told = [one for one in answer.headers if one[0] != b"server-timing"]
        body = re.sub(rb'"(search_id|session_id|judged_at)":"[^"]*"', b"", answer.body)
        return answer.status, told, body.replace(image_id.encode(), b"ID")

    @given(request=requests(about), key=st.sampled_from([b"searcher", b"rival"]))
    @settings(BOUNDED, max_examples=200)
    def check(request: RawRequest, key: bytes) -> None:
        if request.method == "PUT" and key == b"rival":
            return  # the id is taken, as whoever wants to take it must learn
        request = replace(
            request,
            path=re.sub(r"(/v1/images/)[^/]+", r"\1private-1", request.path),
            headers=tuple(
                h for h in request.headers if h[0] not in (b"x-api-key", b"authorization")
            ),
        )
        answers = [essence(served.ask(of(request, name, key)), name) for name in (hidden, ABSENT)]
        assert answers[0] == answers[1], request

    check()
