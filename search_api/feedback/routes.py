"""`POST /v1/interactions` and `POST /v1/judgements`: what people did, and what they say."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from sightline.engine.settings import Scope
from sightline.search_api.feedback.intake import Intake
from sightline.search_api.http.bodies.typed import beacon_body, json_body
from sightline.search_api.http.documents.feedback import InteractionsAnswer, JudgementAnswer
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf, Heard
from sightline.search_api.http.openapi import answers, body, json_of, text_of
from sightline.search_api.http.request_fields import Beacon, Judgement

_TOLD_TO_OTHERS = {"Cross-Origin-Resource-Policy": "cross-origin"}
"""A page that may not read the answer learns that there was one; of a problem it does not, which
`sightline.js` therefore takes for a network error, and tries again."""
_CLICKED = {
    "search_id": "(as the search answered)",
    "items": [
        {
            "event_id": "5f0c2f4e-4ef5-4a9e-9a40-3f7f2d1c7b11",
            "kind": "clicked",
            "image_id": "f-3b2d1c",
            "position": 3,
            "since_answer_ms": 4200,
        }
    ],
}
_BEACON_BODY = body(json_of(Beacon, clicked=_CLICKED), text_of(Beacon, _CLICKED))
_BEACON_ANSWERS = answers(
    {202: InteractionsAnswer},
    "bad-search-id",
    "stale",
    "too-large",
    "unsupported-media",
    "unavailable",
    "overloaded",
)
_JUDGEMENT_BODY = body(
    json_of(
        Judgement,
        relevant={"anchor_id": "f-3b2d1c", "image_id": "f-77aa01", "grade": 5, "judge": "anna"},
    )
)
_JUDGEMENT_ANSWERS = answers(
    {202: JudgementAnswer},
    "unauthorized",
    "forbidden",
    "not-found",
    "stale",
    "too-large",
    "unsupported-media",
    "unavailable",
    "overloaded",
)


def interaction_router(intake: Intake) -> APIRouter:
    """The routes, bound to what takes in."""
    router = APIRouter(tags=["feedback"])

    @router.post(
        "/v1/interactions",
        openapi_extra={**_BEACON_BODY, "security": []},
        responses=_BEACON_ANSWERS,
        response_class=Response,
        status_code=202,
        dependencies=[Heard],
    )
    async def interactions(request: Request) -> Response:
        """Say what a visitor did with a page of results. No key: the search id authorises."""
        beacon = await beacon_body(request, Beacon)
        accepted = await intake.interactions(beacon, request.headers.get("traceparent"))
        return json_answer({"accepted": accepted}, 202, _TOLD_TO_OTHERS)

    @router.post(
        "/v1/judgements",
        openapi_extra=_JUDGEMENT_BODY,
        responses=_JUDGEMENT_ANSWERS,
        response_class=Response,
        status_code=202,
    )
    async def judgements(request: Request, caller: CallerOf) -> Response:
        """Grade how well an image answers another. Scope `judge`."""
        require(caller, Scope.JUDGE)
        judgement = await json_body(request, Judgement)
        judged_at: datetime = await intake.judgement(
            judgement, caller.key, request.headers.get("traceparent")
        )
        return json_answer({"judged_at": judged_at}, 202)

    return router
