"""Every route there is, and requests to each of them, generated from the API's own description."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings

from sightline.engine.label_data.grading_pools import (
    Pool,
    PooledAnchor,
    pool_names,
    store_pool,
)
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.label_data.search_stats import SearchStats
from sightline.engine.settings import ApiSettings
from sightline.infra.processes.owner_routes import owner_router
from sightline.search_api.app import create_app
from sightline.stream_workers.reconciling.differences import Report
from sightline.stream_workers.reconciling.report_document import Reconcile
from tests.api_parts import BASE_URL, BUCKET, ApiWorld
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "api.md"
OF_THE_OWNER = {"POST /v1/events", "GET /v1/events/{image_id}", "POST /v1/reconcile"}
"""Asked by commands of ours alone (docs/adr/0008)."""
POOL, POOLED = "p", ("i0", "i1", "private-1", "blocked-1", "deleted-1", "nobody")
UNLIMITED = {"requests_per_minute": 10**9, "interactions_per_minute": 10**9}


def documented_routes() -> set[str]:
    """Method and path of each endpoint of docs/api.md but the page, and of the owner's."""
    rows = re.findall(r"^\| `([A-Z]+ /\S*)` \|", PAGE.read_text(), re.MULTILINE)
    return {*rows, *OF_THE_OWNER} - {"GET /"}


def routes_of(app: FastAPI) -> set[str]:
    """Method and path of each operation of the app."""
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def nothing_differs(*, repair: bool) -> Report:
    """A comparison that finds log and index alike."""
    del repair
    return Report(catalogued=0, indexed=0, differences=())


def app_of_every_route(
    world: ApiWorld, compare: Reconcile = nothing_differs, **api: object
) -> FastAPI:
    """The app over a world with all that is optional, and the owner's own routes.

    Args:
        world: what is behind it; gets a pool to grade.
        compare: answers a request to reconcile.
        api: settings, beside those that lift the limits.
    """
    deps = world.dependencies(ApiSettings.model_validate(UNLIMITED | api))
    _keep_pool(world)
    app = create_app(
        replace(deps, stats=SearchStats(), triples=RecentTriples(), judgements=HeldJudgements())
    )
    app.include_router(owner_router(world.log, world.index, compare))
    return app


def _keep_pool(world: ApiWorld) -> None:
    """Public, private and unknown images to grade."""
    if POOL in pool_names(world.store, BUCKET):
        return
    pool = Pool(
        name=POOL,
        made_at=datetime(2026, 11, 21, tzinfo=UTC),
        models=("old", "new"),
        depth=9,
        seed=1,
        anchors=tuple(
            PooledAnchor(anchor_id=one, images=("i2", *POOLED), disagreement=0.5) for one in POOLED
        ),
    )
    store_pool(world.store, BUCKET, pool)


def operations_of(app: FastAPI) -> list[Any]:
    """Schemathesis's operations, one a method and path."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    return [one.ok() for one in schema.get_all_operations()]  # type: ignore[union-attr]  # valid


def each_case(operation: Any, cases: int, ask: Callable[[Any], object]) -> None:
    """Ask so many of an operation's cases, valid and invalid; the same at every call."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        ask(case)

    check()


def wire(case: Any, key: str | None = None) -> requests.PreparedRequest:
    """A generated case as a request that waits for nothing, with our key and nobody else's."""
    asked = case.as_transport_kwargs(base_url=BASE_URL)
    known = {"method", "url", "headers", "files", "data", "json", "params"}
    asked["params"] = {**(asked.get("params") or {}), "timeout_s": 0}
    request = requests.Request(**{n: v for n, v in asked.items() if n in known}).prepare()
    for name in ("x-api-key", "authorization"):
        request.headers.pop(name, None)
    if key is not None:
        request.headers["X-API-Key"] = key
    return request


def httpx_of(request: requests.PreparedRequest) -> dict[str, Any]:
    """What httpx's `request` takes, to send the same bytes."""
    return {
        "method": str(request.method),
        "url": str(request.url),
        "headers": {name: str(value) for name, value in request.headers.items()},
        "content": request.body if isinstance(request.body, bytes) else b"",
    }
