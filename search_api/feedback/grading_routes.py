"""`/v1/pools`: what is to be graded, the next of it for one judge, and how far judges agree."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from sightline.engine.settings import Scope
from sightline.search_api.feedback.grading import Grading, GradingWish
from sightline.search_api.http.bodies.typed import json_body
from sightline.search_api.http.documents.feedback import AgreementAnswer, PoolsAnswer, SheetAnswer
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf
from sightline.search_api.http.openapi import answers, body, json_of
from sightline.search_api.http.request_fields import GradingTurn

PoolParameter = Annotated[str, Path(description="The pool's name.", max_length=64)]
_TURN_BODY = body(json_of(GradingTurn, first={"judge": "anna"}))
_PROBLEMS = ("unauthorized", "forbidden", "unavailable")


def grading_router(grading: Grading) -> APIRouter:
    """The routes, bound to what they tell."""
    router = APIRouter(tags=["feedback"])

    @router.get(
        "/v1/pools", response_class=Response, responses=answers({200: PoolsAnswer}, *_PROBLEMS)
    )
    async def pools(caller: CallerOf) -> Response:
        """The pools that there are to grade. Scope `judge`."""
        require(caller, Scope.JUDGE)
        return json_answer({"pools": await grading.threads.run(grading.names)})

    @router.post(
        "/v1/pools/{pool}/sheet",
        openapi_extra=_TURN_BODY,
        response_class=Response,
        responses=answers(
            {200: SheetAnswer}, *_PROBLEMS, "not-found", "stale", "too-large", "unsupported-media"
        ),
    )
    async def sheet(pool: PoolParameter, request: Request, caller: CallerOf) -> Response:
        """The next pictures of a pool that this judge has not graded. Scope `judge`.

        Changes nothing; it is a POST because the judge's name belongs in no address.
        """
        require(caller, Scope.JUDGE)
        turn = await json_body(request, GradingTurn)
        judge = grading.judge(caller.key, turn.judge)
        wish = GradingWish(pool=pool, judge=judge, after=turn.after, limit=turn.limit)
        return json_answer(await grading.threads.run(grading.sheet, wish))

    @router.get(
        "/v1/pools/{pool}/agreement",
        response_class=Response,
        responses=answers({200: AgreementAnswer}, *_PROBLEMS, "not-found"),
    )
    async def agreement(pool: PoolParameter, caller: CallerOf) -> Response:
        """How far the judges of a pool agree; tells no single grade. Scope `judge`."""
        require(caller, Scope.JUDGE)
        found = await grading.threads.run(grading.agreement, pool)
        figures = {name: getattr(found, name) for name in ("judges", "graded", "shared", "kappa")}
        return json_answer(figures)

    return router
