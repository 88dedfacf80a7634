"""`/healthz` and `/readyz` for balancers, without a key; `/metrics` for Prometheus, with one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from sightline.engine.metrics import Metrics
from sightline.engine.settings import Scope
from sightline.search_api.http.documents.readiness import ReadinessDocument
from sightline.search_api.http.json_answers import NO_STORE, json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf, InsiderOf
from sightline.search_api.http.openapi import answers, json_of
from sightline.search_api.operations.readiness import Readiness

_READINESS: dict[int | str, dict[str, Any]] = answers({}) | {
    200: {"description": "Every part is up.", "content": json_of(ReadinessDocument)},
    503: {"description": "A part is down.", "content": json_of(ReadinessDocument)},
}


def operations_router(readiness: Readiness, metrics: Metrics) -> APIRouter:
    """The routes, bound to what they tell."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", response_class=Response, responses={200: {"description": "Alive."}})
    async def healthz() -> Response:
        """The process is alive; says nothing of its parts."""
        return json_answer({"alive": True})

    @router.get("/readyz", response_class=Response, responses=_READINESS)
    async def readyz(insider: InsiderOf) -> Response:
        """Which part is up or down, and what runs the model; 503 while one is down.

        Why a part is down is told in its own words to an `admin` key, and where no keys are needed.
        """
        document = await readiness.document(insider=insider)
        return json_answer(document, 200 if document["ready"] else 503)

    @router.get(
        "/metrics",
        response_class=Response,
        responses=answers({200: "Metrics."}, "unauthorized", "forbidden"),
    )
    def exposition(caller: CallerOf) -> Response:
        """Tell the metrics, in Prometheus' text format. Scope `metrics`."""
        require(caller, Scope.METRICS)
        told = generate_latest(metrics.registry)
        return Response(told, headers={"Cache-Control": NO_STORE}, media_type=CONTENT_TYPE_LATEST)

    return router
