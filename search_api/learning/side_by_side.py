"""`POST /v1/models/rankings`: one question, ranked by both models of an experiment, for admins."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sightline.engine.errors import NotFound
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.serving.variants import Arm
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import ANYBODY
from sightline.search_api.http.bodies.typed import json_body
from sightline.search_api.http.documents.learning import RankingsAnswer
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf
from sightline.search_api.http.openapi import answers, body, json_of
from sightline.search_api.http.request_fields import ImageSearch
from sightline.search_api.search.answers import result_document
from sightline.search_api.search.rankings import rankings_of
from sightline.search_api.search.stopwatch import Stopwatch
from sightline.search_api.threads.pools import ApiPool

_REFUSALS = (
    *("unauthorized", "forbidden", "not-found", "unavailable"),
    *("stale", "too-large", "unsupported-media"),
)


class SideBySide:
    """Asks control and treatment the same; nothing of it is recorded, and nobody learns from it.

    Args:
        pairs: what serves.
        bits: how near look-alikes are.
        threads: where the indexes are read.
    """

    def __init__(self, pairs: ServingPairs, *, bits: int, threads: ApiPool) -> None:
        self._pairs = pairs
        self._bits = bits
        self._threads = threads

    async def rank(self, fields: ImageSearch) -> dict[str, Any]:
        """Both rankings, the control's first.

        Raises:
            NotFound: no experiment runs, or not everybody may see the image.
            PartUnavailable: an index is down.
        """
        return await self._threads.run(self._rank, fields)

    def _rank(self, fields: ImageSearch) -> dict[str, Any]:
        with self._pairs.both() as (experiment, pair):
            image = pair.visible.get(fields.image_id, ANYBODY)
            found = [image]
            if pair.beside is not None:
                with suppress(NotFound):  # it is not there yet: the other has nothing to ask by
                    found.append(pair.beside.visible.get(fields.image_id, ANYBODY))
            rankings = rankings_of(
                fields,
                pair,
                [one.vector for one in found if one.vector is not None],
                anchor=image,
                bits=self._bits,
                watch=Stopwatch(),
            )
        pages = (rankings.own, rankings.beside)
        return {
            "experiment": experiment,
            "rankings": [
                {
                    "arm": arm,
                    "model": each.model,
                    "generation": each.spec.name,
                    "results": [
                        result_document(hit, n)
                        for n, hit in enumerate(page.hits[: fields.limit] if page else (), 1)
                    ],
                }
                for arm, each, page in zip(
                    (Arm.CONTROL, Arm.TREATMENT), pair.all, pages, strict=True
                )
            ],
        }


def rankings_router(side_by_side: SideBySide) -> APIRouter:
    """The route, bound to what answers it."""
    router = APIRouter(tags=["operations"])

    @router.post(
        "/v1/models/rankings",
        openapi_extra=body(json_of(ImageSearch, similar={"image_id": "f-3b2d1c", "limit": 24})),
        responses=answers({200: RankingsAnswer}, *_REFUSALS),
        response_class=Response,
    )
    async def rank(request: Request, caller: CallerOf) -> Response:
        """Rank by both models of the experiment that runs, side by side. Scope `admin`.

        It is no search: nothing is recorded. 404 where no experiment runs.
        """
        require(caller, Scope.ADMIN)
        return json_answer(await side_by_side.rank(await json_body(request, ImageSearch)))

    return router
