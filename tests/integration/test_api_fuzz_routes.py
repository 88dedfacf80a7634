"""Every route under generated input, without a key and with each: no 500, nothing slow, no damage.

`make test` sends a few cases an operation and key; `make fuzz` generates 2,000 a key (CASES=…), at
least 10,000 in all. There no answer may take 2 s; a few cases, among other tests, are as patient.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sightline.engine.object_store.catalogue import Catalogue, Decisions
from sightline.engine.settings import IndexSettings, Scope
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.states import changed
from sightline.schemas.fields import MAX_OWNER_VERSION, MAX_VERSION, Visibility
from sightline.schemas.topics import IMAGES_MODERATION
from sightline.stream_workers.reconciling.decisions import DecisionReconciler
from sightline.stream_workers.reconciling.differences import Report
from sightline.stream_workers.reconciling.reconcile import Reconciler
from tests.api_parts import BASE_URL, BUCKET, KEYS, ApiWorld, key_of, picture, spec_of
from tests.generated_requests import (
    POOL,
    app_of_every_route,
    documented_routes,
    each_case,
    httpx_of,
    operations_of,
    routes_of,
    wire,
)
from tests.patience import patient

pytestmark = pytest.mark.integration

CASES_VARIABLE = "SIGHTLINE_FUZZ_CASES"
"""How many a key; none: `FEW`."""
FEW = 30
FULL, LEAST_IN_ALL = 2_000, 10_000
"""Cases a key of `make fuzz`, and how many are generated at least, over all keys."""
SLOW_S = 2.0
ALL_KEYS = (*KEYS, key_of("prometheus", Scope.METRICS))
WHO = (None, *(one.name for one in ALL_KEYS))
DEPTHS = range(150, 261)
JSON, FORM = {"content-type": "application/json"}, "multipart/form-data; boundary=b"


def cases() -> int:
    """How many requests are generated for one key."""
    return int(os.environ.get(CASES_VARIABLE, FEW))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Public and private images of two owners, one at the highest version there is."""
    world = ApiWorld.open(tmp_path, embedded=True)
    for n in range(3):
        world.add(f"i{n}", n, owner_id="shop")
    world.add("private-1", 11, owner_id="shop", visibility=Visibility.PRIVATE)
    world.add("rivals", 12, owner_id="rival")
    world.add("last", 13, owner_id="shop")
    last = world.index.get(["last"])["last"].state
    world.publisher.publish(changed(last, {}, version=MAX_VERSION), known=True).result()
    world.work()
    yield world
    world.index.close()


def app_of(world: ApiWorld) -> FastAPI:
    """Every route there is; reconciling compares log and index."""

    def compare(*, repair: bool) -> Report:
        catalogue = Catalogue(world.store, BUCKET)
        images = CataloguedImages(catalogue, world.publisher)
        comparing = Reconciler(
            read_images=lambda: iter(world.log.records["images.v1"]),
            index=world.index,
            producer=world.log,
            kept=catalogue.look_at_all,
            finish=images.finish,
            forget=catalogue.forget,
            settle=lambda: None,
            clock=world.clock,
        )
        deciding = DecisionReconciler(
            read_decisions=lambda: iter(world.log.records[IMAGES_MODERATION.name]),
            kept=Decisions(world.store, BUCKET).look_at_all,
            index=world.index,
            producer=world.log,
            settle=lambda: None,
        )
        report, decided = comparing.check(), deciding.check()
        if repair:
            deciding.repair(decided)
            comparing.repair(report)
        return replace(report, differences=(*report.differences, *decided))

    return app_of_every_route(world, compare, keys=ALL_KEYS)


def deep(depth: int) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Bodies that nest so deep, in every field that takes a document."""
    nest = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    image = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n%s\r\n'
    form = {"content-type": FORM}

    def with_picture(name: bytes, value: bytes = nest) -> bytes:
        return part % (name, value) + image % picture(1, size=(8, 8)) + b"--b--\r\n"

    event = b'{"specversion":"1.0","type":"sightline.image.uploaded.v1","id":"a","source":"/a",'
    return [
        ("PATCH", "/v1/images/i0", JSON, b'{"attributes":' + nest + b"}"),
        ("PUT", "/v1/images/deep", form, with_picture(b"attributes")),
        ("POST", "/v1/images", form, with_picture(b"attributes")),
        ("PUT", "/v1/images/most", form, with_picture(b"version", b"%d" % MAX_VERSION)),
        ("PUT", "/v1/images/owners", form, with_picture(b"version", b"%d" % MAX_OWNER_VERSION)),
        ("POST", "/v1/search", form, with_picture(b"location")),
        ("POST", "/v1/search", JSON, b'{"image_id":"i0","location":' + nest + b"}"),
        ("POST", "/v1/interactions", JSON, b'{"search_id":"a","items":[' + nest + b"]}"),
        ("POST", "/v1/judgements", JSON, b'{"judge":' + nest + b"}"),
        ("POST", f"/v1/pools/{POOL}/sheet", JSON, b'{"judge":' + nest + b"}"),
        ("POST", f"/v1/pools/{POOL}/sheet", JSON, b'{"judge":"anna"}'),
        ("POST", "/v1/events", {**JSON, "x-topic": "images.v1"}, event + b'"data":' + nest + b"}"),
    ]


class Asking:
    """A started app on a loop of its own, and how many requests were sent."""

    def __init__(self, app: FastAPI, loop: asyncio.Runner, bound_s: float) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("127.0.0.1", 5000)), base_url=BASE_URL
        )
        self._loop = loop
        self._bound_s = bound_s
        self.sent = 0

    def __call__(
        self, method: str, url: str, headers: dict[str, str], content: bytes
    ) -> httpx.Response:
        """One request; checks that it is no 500 and not slow."""
        started = time.perf_counter()
        asked = self._client.request(method, url, headers=headers, content=content)
        answer = self._loop.run(asked)
        took_s = time.perf_counter() - started
        self.sent += 1
        assert answer.status_code < 500 or answer.status_code == 503, (method, url, answer.text)
        assert took_s < self._bound_s, (method, url, took_s)
        return answer


@pytest.mark.parametrize("key", WHO)
def test_no_route_fails_and_nothing_is_damaged(
    world: ApiWorld, tmp_path: Path, key: str | None
) -> None:
    """No 500, nothing slow; afterwards all starts, compares, is told and deleted."""
    header = {} if key is None else {"X-API-Key": key}
    bound_s = SLOW_S if cases() >= FULL else patient(SLOW_S)
    with_app(world, lambda asking: attacked(app_of(world), asking, key, header), bound_s=bound_s)
    world.work()
    world.index.close()
    index = EdgeVectorIndex.open(tmp_path / "index", spec_of(world.embedder), IndexSettings())
    again = replace(world, index=index)
    with_app(again, everything_still_works(again), bound_s=patient(SLOW_S))
    index.close()


def with_app(world: ApiWorld, work: Callable[[Asking], None], *, bound_s: float) -> None:
    """Work on a started app over the world, each of whose answers takes less than the bound."""
    app = app_of(world)
    with asyncio.Runner() as loop:
        living = app.router.lifespan_context(app)
        loop.run(living.__aenter__())
        asking = Asking(app, loop, bound_s)
        try:
            work(asking)
        finally:
            loop.run(living.__aexit__(None, None, None))


def attacked(app: FastAPI, asking: Asking, key: str | None, header: dict[str, str]) -> None:
    """All that is generated, and documents of every depth."""
    operations = operations_of(app)
    assert routes_of(app) == documented_routes()
    assert len(operations) == len(documented_routes())
    for operation in operations:
        each_case(
            operation,
            max(1, cases() // len(operations)),
            lambda case: asking(**httpx_of(wire(case, key))),
        )
    assert asking.sent >= cases() * LEAST_IN_ALL // (FULL * len(WHO))
    for depth in DEPTHS if cases() > FEW else DEPTHS[::22]:
        for method, url, headers, body in deep(depth):
            asking(method, url, headers | header, body)


def everything_still_works(world: ApiWorld) -> Callable[[Asking], None]:
    """Reconcile, the status of every image, the delete of every image, and reconcile again."""

    def work(asking: Asking) -> None:
        admin = {"X-API-Key": "admin"}
        compared = asking("POST", "/v1/reconcile?repair=true", admin, b"")
        assert compared.status_code == 200
        known = {image.image_id for image in world.index.scan()}
        known |= set(Catalogue(world.store, BUCKET).ids())
        assert known
        for image_id in sorted(known):
            told = asking("GET", f"/v1/images/{image_id}", admin, b"")
            assert told.status_code == 200, (image_id, told.text)
            delete(asking, image_id, told.json())
        world.work()
        for image_id in sorted(known):
            told = asking("GET", f"/v1/images/{image_id}", admin, b"")
            assert told.json()["status"] == "deleted", told.text
        assert asking("POST", "/v1/reconcile", admin, b"").json()["differences"] == []

    return work


def delete(asking: Asking, image_id: str, told: dict[str, Any]) -> None:
    """As an operator does it, who needs no version of the owner's."""
    if told["status"] == "deleted":
        return
    headers = {"X-API-Key": "admin", "If-Match": f'"{told["version"]}"'}
    gone = asking("DELETE", f"/v1/images/{image_id}", headers, b"")
    assert gone.status_code in (200, 202), (image_id, told, gone.text)
