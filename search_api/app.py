"""Collaborators in, the search API out: its routes, and what stands around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from sightline.engine.embedding.model_registry import ModelRegistry
from sightline.engine.search_ids import SearchIds
from sightline.engine.vector_index.generations import refuse_other_model
from sightline.search_api.audit.audit_log import AuditLog
from sightline.search_api.audit.audited import Audited
from sightline.search_api.dependencies import ApiDependencies
from sightline.search_api.feedback.grading import Grading
from sightline.search_api.feedback.grading_routes import grading_router
from sightline.search_api.feedback.routes import interaction_router
from sightline.search_api.graph import ApiGraph, build_graph
from sightline.search_api.http import openapi, problems
from sightline.search_api.http.keys import KeyRing
from sightline.search_api.http.limits.admission import Admission
from sightline.search_api.http.limits.body_deadline import BodyDeadline
from sightline.search_api.http.limits.body_limit import BodyLimit
from sightline.search_api.http.limits.rate_limit import RateLimit
from sightline.search_api.http.observed import ObservedRequests
from sightline.search_api.http.reads import Reads
from sightline.search_api.images.answers import ImageAnswers
from sightline.search_api.images.moderation_routes import moderation_router
from sightline.search_api.images.routes import image_router
from sightline.search_api.learning.learned_models import LearnedModels
from sightline.search_api.learning.serving_routes import serving_router
from sightline.search_api.learning.side_by_side import SideBySide, rankings_router
from sightline.search_api.learning.stats_routes import stats_router
from sightline.search_api.learning.triples_routes import triples_router
from sightline.search_api.operations.routes import operations_router
from sightline.search_api.page.routes import page_router
from sightline.search_api.search.routes import search_router

IMPRESSIONS_END_S = 5.0
"""For what was shown to be recorded when the API stops; the rest is counted as dropped."""
DESCRIPTION = """Visual search that is always fresh: upload an image, and moments later find it.

Failures are problem documents (RFC 9457). What a caller may not see does not exist: not as a
query, a result, a status, an image or a count."""


def create_app(deps: ApiDependencies) -> FastAPI:
    """The API; its threads and tasks live from the lifespan's start to its end.

    Raises:
        SettingsInvalid: no keys and an address that others can reach; an unusable key.
        GenerationMismatch: the index was made by another model than the embedder's.
    """
    keys = KeyRing(deps.api)
    serving = deps.pairs.now()
    refuse_other_model(serving.spec, serving.embedder)
    graph = build_graph(deps)
    audit = AuditLog(deps.producer, deps.clock, deps.metrics, source=deps.source)
    app = FastAPI(
        title="Sightline",
        version="1",
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's pages load from another host
        redoc_url=None,
        lifespan=_lifespan(graph, audit),
        redirect_slashes=False,
    )
    limit = RateLimit(deps.api.requests_per_minute, deps.clock)
    app.state.admission = Admission(keys, limit, deps.clock, deps.metrics)
    app.state.impressions = graph.impressions
    _add_routes(app, deps, graph)
    _add_middleware(app, deps, audit)
    problems.install_problems(app)
    openapi.install_openapi(app, open_to_all=keys.open)
    return app


def _add_routes(app: FastAPI, deps: ApiDependencies, graph: ApiGraph) -> None:
    _add(app, search_router(graph.searching))
    reads = ImageAnswers(graph.status, graph.renditions, graph.moderating, deps.clock)
    _add(app, image_router(graph.writes, reads))
    _add(app, moderation_router(graph.moderating))
    _add(app, interaction_router(graph.intake))
    _add(app, operations_router(graph.readiness, deps.metrics))
    models = LearnedModels(ModelRegistry(deps.store, deps.bucket), deps.clock)
    _add(app, serving_router(deps.pairs, models, deps.fillings, deps.coming))
    bits, reads_of_images = deps.api.near_duplicate_bits, graph.threads.image_reads
    _add(app, rankings_router(SideBySide(deps.pairs, bits=bits, threads=reads_of_images)))
    if deps.stats is not None:
        _add(app, stats_router(deps.stats))
    if deps.triples is not None:
        _add(app, triples_router(deps.triples, graph.visible))
    if deps.judgements is not None:
        grading = Grading(
            deps.store,
            deps.bucket,
            graph.visible,
            deps.judgements,
            SearchIds(deps.secret),
            threads=graph.threads.judgements,
        )
        _add(app, grading_router(grading))
    _add(app, page_router())


def _add(app: FastAPI, router: APIRouter) -> None:
    """Takes over the routes; `include_router` would analyse each anew when it is first asked."""
    app.router.routes.extend(router.routes)


def _add_middleware(app: FastAPI, deps: ApiDependencies, audit: AuditLog) -> None:
    """The last one added is the outermost."""
    app.add_middleware(BodyDeadline, timeout_s=deps.api.body_timeout_s)
    app.add_middleware(BodyLimit, max_bytes=deps.api.max_body_bytes)
    if deps.api.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(deps.api.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "X-API-Key",
                "Content-Type",
                "If-Match",
                "If-None-Match",
            ],
            expose_headers=["ETag", "Location", "Retry-After", "Server-Timing"],
        )
    app.add_middleware(Reads)
    app.add_middleware(Audited, audit=audit)
    app.add_middleware(ObservedRequests, metrics=deps.metrics)


def _lifespan(
    graph: ApiGraph, audit: AuditLog
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        forgetting = asyncio.create_task(graph.status.forget_arrived(), name="forget-arrived")
        async with audit.running():
            yield
        forgetting.cancel()
        await graph.impressions.drain(IMPRESSIONS_END_S)
        await asyncio.to_thread(graph.threads.close)

    return lifespan
