"""`GET /v1/triples`: the last training triples whose images everybody may still see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import ANYBODY, VisibleIndex
from sightline.schemas.labels import TripleMined
from sightline.schemas.searches import ImageQuery
from sightline.search_api.http.documents.learning import TriplesAnswer
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf
from sightline.search_api.http.openapi import answers
from sightline.search_api.http.query_parameters import InDigits
from sightline.search_api.search.answers import image_urls

LOOKED_AT = 100
"""So many are looked up in the index at once, until there are enough that everybody may see."""
Told = tuple[str, TripleMined]
"""A triple's id, and what it says."""
LimitParameter = Annotated[int, InDigits, Query(ge=1, le=100, description="At most so many.")]


def triples_router(triples: RecentTriples, visible: VisibleIndex) -> APIRouter:
    """The route, bound to what it tells."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/v1/triples",
        response_class=Response,
        responses=answers({200: TriplesAnswer}, "unauthorized", "forbidden", "unavailable"),
    )
    def read_triples(caller: CallerOf, limit: LimitParameter = 12) -> Response:
        """The last triples: anchor, positive, negative. Scope `admin`.

        Triples with an image that is not there, or that has been hidden since, are left out; the
        last 500 of what people did here are looked through, then the last 500 of imported logs.
        """
        require(caller, Scope.ADMIN)
        rows = [_row(*told) for told in islice(_visible(triples.newest(), visible), limit)]
        return json_answer({"triples": rows})

    return router


def _visible(newest: Sequence[Told], visible: VisibleIndex) -> Iterator[Told]:
    """Those whose images everybody may see, in the same order."""
    for start in range(0, len(newest), LOOKED_AT):
        some = newest[start : start + LOOKED_AT]
        names = {name for _, triple in some for name in _images(triple)}
        seen = visible.get_many(names, ANYBODY).keys()
        yield from ((name, triple) for name, triple in some if seen >= _images(triple))


def _images(triple: TripleMined) -> set[str]:
    named = {triple.positive_id, triple.negative_id}
    return named | {triple.anchor_id} if isinstance(triple.query, ImageQuery) else named


def _row(triple_id: str, triple: TripleMined) -> dict[str, Any]:
    by_image = isinstance(triple.query, ImageQuery)
    return {
        "triple_id": triple_id,
        "issued_at": triple.issued_at,
        "grade": triple.grade,
        "anchor": _picture(triple.anchor_id, shown=by_image),
        "positive": _picture(triple.positive_id),
        "negative": _picture(triple.negative_id),
    }


def _picture(image_id: str, *, shown: bool = True) -> dict[str, Any]:
    """An uploaded query has no picture here: it was its visitor's alone."""
    return {
        "image_id": image_id,
        "thumbnail_url": image_urls(image_id)["thumbnail_url"] if shown else None,
    }
