"""What other processes ask of the one that owns an embedded part; scope `admin`.

`POST /v1/events`: in the embedded stack only the owner writes the journal (docs/adr/0008), so the
command line's `upload`, `backfill` and `dlq replay` hand it their events (`http_producer.py`).
`GET /v1/events/{image_id}`: the winning event, for `backfill --replace`.
`POST /v1/reconcile`: the embedded index has one owner, so the comparison runs there.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic_core import to_json
from starlette.responses import Response

from sightline.engine.errors import NotFound
from sightline.engine.event_log.embedded.http_producer import CLOUD_EVENT, EVENTS_PATH
from sightline.engine.event_log.embedded.journaled_producer import JOURNALED
from sightline.engine.ports import EventProducer, VectorIndex
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import Scope
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.registry import decode
from sightline.schemas.topics import topic
from sightline.search_api.http.if_match import refuse_condition
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import OperatorOf
from sightline.search_api.http.openapi import answers
from sightline.search_api.http.problems import Problem, invalid
from sightline.stream_workers.image_log.winners import event_of
from sightline.stream_workers.reconciling.report_document import (
    RECONCILE_PATH,
    Reconcile,
    as_document,
)

_REFUSALS = ("unauthorized", "forbidden", "invalid", "stale", "unavailable")


def owner_router(producer: EventProducer, index: VectorIndex, reconcile: Reconcile) -> APIRouter:
    """The routes, bound to what this process owns."""
    router = APIRouter(tags=["operations"])

    @router.post(
        EVENTS_PATH, response_class=Response, responses=answers({200: "Acknowledged."}, *_REFUSALS)
    )
    async def publish(
        request: Request,
        caller: OperatorOf,
        x_topic: Annotated[str, Header(description="An image topic, or that of decisions.")],
        traceparent: Annotated[str | None, Header(description="W3C trace context.")] = None,
    ) -> Response:
        """Append one image event, or a decision (CloudEvents 1.0), and answer once it is safe."""
        require(caller, Scope.ADMIN)
        refuse_condition(request)
        if x_topic not in JOURNALED:
            raise invalid("x-topic", f"x-topic must be one of {', '.join(sorted(JOURNALED))}")
        event = _event(await request.body(), x_topic)
        headers = [("traceparent", traceparent.encode())] if traceparent else []
        message = await asyncio.wrap_future(
            producer.append(
                ProducerRecord(x_topic, event.data.image_id, event.encode(), headers=headers)
            )
        )
        return _json(
            {
                "partition": message.partition,
                "offset": message.offset,
                "appended": message.timestamp.isoformat(),
            }
        )

    @router.get(
        EVENTS_PATH + "/{image_id}",
        response_class=Response,
        responses=answers({200: "The event."}, *_REFUSALS, "not-found"),
    )
    async def winner(image_id: str, caller: OperatorOf) -> Response:
        """The event whose state the index holds for an image: what `backfill --replace` needs."""
        require(caller, Scope.ADMIN)
        found = await asyncio.to_thread(index.get, [image_id])
        if image_id not in found:
            raise NotFound(f"no image {image_id}")
        return Response(event_of(found[image_id]).encode(), media_type=CLOUD_EVENT)

    @router.post(
        RECONCILE_PATH, response_class=Response, responses=answers({200: "Compared."}, *_REFUSALS)
    )
    async def compare(
        request: Request,
        caller: OperatorOf,
        repair: Annotated[bool, Query(description="Mend what differs, too.")] = False,  # noqa: FBT002
    ) -> Response:
        """Compare catalogue and index; list, and on request mend, what differs."""
        require(caller, Scope.ADMIN)
        refuse_condition(request)
        report = await asyncio.to_thread(reconcile, repair=repair)
        return _json(as_document(report))

    return router


def _event(value: bytes, topic_name: str) -> Event[Any]:
    """What the contract reads of a message: a delete keeps no tags that came with it."""
    try:
        event = decode(value)
    except ContractError as error:
        raise invalid(error.field or "body", str(error)) from error
    if not isinstance(event.data, topic(topic_name).events):
        raise Problem("invalid", f"topic {topic_name} takes no {event.type}", {"field": "type"})
    return event


def _json(document: dict[str, Any]) -> Response:
    return Response(to_json(document), media_type="application/json")
