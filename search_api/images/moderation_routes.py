"""`/v1/images/{image_id}/moderation`: the operator's decision about an image, known or not."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from sightline.engine.settings import Scope
from sightline.producers.images.moderation import OperatorVerdict
from sightline.schemas.moderation import ImageModerated
from sightline.search_api.http.bodies.typed import json_body
from sightline.search_api.http.documents.images import ModerationDocument
from sightline.search_api.http.if_match import etag
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf
from sightline.search_api.http.openapi import answers, body, json_of
from sightline.search_api.http.request_fields import ModerationVerdict
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.routes import IF_MATCH, IfMatchOf, ImageIdPath, WaitOf

_REFUSALS = ("unauthorized", "forbidden", "unavailable")
_VERDICT = json_of(ModerationVerdict)


def moderation_router(moderating: Moderating) -> APIRouter:
    """Make the routes that read and write the operator's decisions."""
    router = APIRouter(prefix="/v1/images", tags=["images"])

    @router.put(
        "/{image_id}/moderation",
        openapi_extra=body(_VERDICT) | {"parameters": [IF_MATCH]},
        responses=answers(
            {200: ModerationDocument, 202: ModerationDocument},
            *_REFUSALS,
            "stale",
            "too-large",
            "unsupported-media",
        ),
        response_class=Response,
        status_code=202,
    )
    async def decide(
        image_id: ImageIdPath,
        request: Request,
        caller: CallerOf,
        wanted: IfMatchOf,
        wait: WaitOf,
    ) -> Response:
        """Block an image or allow it again, also before it is known. Scope `admin`."""
        require(caller, Scope.ADMIN)
        said = await json_body(request, ModerationVerdict)
        verdict = OperatorVerdict(
            moderation=said.moderation, decided_by=said.decided_by, reason=said.reason
        )
        decision = await moderating.decide(image_id, verdict, wanted)
        arrived = wait.seconds > 0 and await moderating.applied_within(decision, wait.seconds)
        return _document(decision, status=200 if arrived else 202)

    @router.get(
        "/{image_id}/moderation",
        responses=answers({200: ModerationDocument}, *_REFUSALS, "not-found"),
        response_class=Response,
    )
    async def newest(image_id: ImageIdPath, caller: CallerOf) -> Response:
        """What was decided about an image last. Scope `admin`."""
        require(caller, Scope.ADMIN)
        return _document(await moderating.newest(image_id))

    return router


def _document(decision: ImageModerated, *, status: int = 200) -> Response:
    return json_answer(decision.model_dump(), status, {"ETag": etag(decision.version)})
