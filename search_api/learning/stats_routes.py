"""`GET /v1/stats`: what searches came to, by day, week or month, model and variant."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from sightline.engine.label_data.search_stats import Folded, Period, SearchStats
from sightline.engine.settings import Scope
from sightline.search_api.http.documents.learning import StatsAnswer
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf
from sightline.search_api.http.openapi import answers
from sightline.search_api.http.query_parameters import InRfc3339

PeriodParameter = Annotated[
    Period, Query(description="What epochs are added up to, UTC; weeks begin on Monday.")
]
SinceParameter = Annotated[
    AwareDatetime | None,
    InRfc3339,
    Query(description="Only searches of epochs that began then or later."),
]
UntilParameter = Annotated[
    AwareDatetime | None,
    InRfc3339,
    Query(description="Only searches of epochs that began before."),
]


def stats_router(stats: SearchStats) -> APIRouter:
    """The route, bound to what it tells."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/v1/stats",
        response_class=Response,
        responses=answers({200: StatsAnswer}, "unauthorized", "forbidden"),
    )
    def read_stats(
        caller: CallerOf,
        period: PeriodParameter = Period.DAY,
        since: SinceParameter = None,
        until: UntilParameter = None,
    ) -> Response:
        """CTR, clicks, conversions, dwell and empty results by model and variant. Scope `admin`.

        Only of closed epochs: the newest searches are missing until their window has passed. More
        than two days back, `since` and `until` pick whole days, by when they began.
        """
        require(caller, Scope.ADMIN)
        rows = [_row(folded) for folded in stats.fold(period, since=since, until=until)]
        return json_answer({"period": period.value, "rows": rows})

    return router


def _row(folded: Folded) -> dict[str, Any]:
    return {
        "start": folded.start,
        "variant": folded.variant,
        "model": folded.model_digest,
        **folded.sums,
        **folded.figures,
        "user_days": folded.user_days,
    }
