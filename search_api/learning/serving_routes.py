"""`GET /v1/models/serving`: the model that answers searches now, and how it was learned."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from sightline.engine.embedding.model_registry import ModelReference
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.settings import Scope
from sightline.search_api.http.documents.learning import ServingModelAnswer
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.keys import require
from sightline.search_api.http.limits.admission import CallerOf
from sightline.search_api.http.openapi import answers
from sightline.search_api.learning.coming_models import ComingModels
from sightline.search_api.learning.filling import Filling, Fillings
from sightline.search_api.learning.learned_models import Learned, LearnedModels


def serving_router(
    pairs: ServingPairs,
    models: LearnedModels,
    fillings: Fillings | None = None,
    coming: ComingModels | None = None,
) -> APIRouter:
    """The route, bound to what serves and to what is known of models, re-index and roll-out."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/v1/models/serving",
        response_class=Response,
        responses=answers({200: ServingModelAnswer}, "unauthorized", "forbidden"),
    )
    def read_serving_model(caller: CallerOf) -> Response:
        """Name the model that answers searches now, and tell how it was learned. Scope `admin`.

        While a generation is being filled, `filling` tells how far it is; `rollouts` tells which
        model is on its way by itself, and what became of the last one.

        What the registry does not have, or cannot tell now, is empty or null.
        """
        require(caller, Scope.ADMIN)
        pair, experiment = pairs.now(), pairs.experiment
        filling = None if fillings is None else fillings.now()
        rollouts = () if coming is None else coming.now()
        reference = None if pair.model is None else ModelReference.parse(pair.model)
        return json_answer(
            {
                "name": None if reference is None else reference.name,
                "digest": None if reference is None else reference.digest,
                "model": pair.model_digest,
                "generation": pair.spec.name,
                "turned": pair.matrix is not None,
                "number": pair.number,
                "experiment": None if experiment is None else experiment.name,
                "learned": None if reference is None else _learned(models.of(reference)),
                "filling": None if filling is None else _filling(filling),
                "rollouts": [asdict(one) for one in rollouts],
            }
        )

    return router


def _filling(filling: Filling) -> dict[str, Any]:
    return asdict(filling) | {"remaining_s": filling.remaining_s}


def _learned(learned: Learned) -> dict[str, Any]:
    release = learned.release
    return {
        "release": None if release is None else release.number,
        "released_at": None if release is None else release.released_at,
        "gate": [] if release is None else [line.model_dump() for line in release.gate],
        "counts": learned.counts,
        "strength": learned.strength,
        "metrics": learned.metrics,
        "before": learned.before,
    }
