"""Collaborators in, the search API out: the one place that builds its graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from sightline.engine.embedding.model_registry import ModelRegistry
from sightline.engine.errors import Part
from sightline.engine.search_ids import SearchIds
from sightline.engine.serving.current_index import CurrentIndex
from sightline.engine.vector_index.generations import refuse_other_model
from sightline.engine.vector_index.visible import VisibleIndex
from sightline.producers.interactions.publisher import InteractionPublisher
from sightline.producers.interactions.publisher_async import AsyncInteractionPublisher
from sightline.search_api.audit.audit_log import AuditLog
from sightline.search_api.audit.audited import Audited
from sightline.search_api.dependencies import ApiDependencies
from sightline.search_api.feedback.anchors import Anchors
from sightline.search_api.feedback.grading import Grading
from sightline.search_api.feedback.grading_routes import grading_router
from sightline.search_api.feedback.intake import Intake
from sightline.search_api.feedback.routes import interaction_router
from sightline.search_api.http import openapi, problems
from sightline.search_api.http.keys import KeyRing
from sightline.search_api.http.limits.admission import Admission
from sightline.search_api.http.limits.body_deadline import BodyDeadline
from sightline.search_api.http.limits.body_limit import BodyLimit
from sightline.search_api.http.limits.rate_limit import RateLimit
from sightline.search_api.http.observed import ObservedRequests
from sightline.search_api.http.reads import Reads
from sightline.search_api.images.answers import ImageAnswers
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.moderation_routes import moderation_router
from sightline.search_api.images.pending import PendingImages
from sightline.search_api.images.renditions import Renditions
from sightline.search_api.images.routes import image_router
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.images.writes import ImageWrites
from sightline.search_api.learning.learned_models import LearnedModels
from sightline.search_api.learning.serving_routes import serving_router
from sightline.search_api.learning.side_by_side import SideBySide, rankings_router
from sightline.search_api.learning.stats_routes import stats_router
from sightline.search_api.learning.triples_routes import triples_router
from sightline.search_api.operations.readiness import Probe, Readiness, index_probe, store_probe
from sightline.search_api.operations.routes import operations_router
from sightline.search_api.page.routes import page_router
from sightline.search_api.search.exploring import Exploring
from sightline.search_api.search.impressions import Impressions
from sightline.search_api.search.query_vectors import QueryVectors
from sightline.search_api.search.recall_checks import RecallChecks
from sightline.search_api.search.routes import search_router
from sightline.search_api.search.searching import Searching
from sightline.search_api.threads.pools import ApiThreads

IMPRESSIONS_END_S = 5.0
"""For what was shown to be recorded when the API stops; the rest is counted as dropped."""
DESCRIPTION = """Visual search that is always fresh: upload an image, and moments later find it.

Failures are problem documents (RFC 9457). What a caller may not see does not exist: not as a
query, a result, a status, an image or a count."""


@dataclass(frozen=True, slots=True)
class _Built:
    """The parts of the graph that start and stop with the app."""

    threads: ApiThreads
    impressions: Impressions
    renditions: Renditions
    searching: Searching
    intake: Intake
    status: ImageStatus
    writes: ImageWrites
    moderating: Moderating
    readiness: Readiness
    visible: VisibleIndex


def create_app(deps: ApiDependencies) -> FastAPI:
    """The API; its threads and tasks live from the lifespan's start to its end.

    Raises:
        SettingsInvalid: no keys and an address that others can reach; an unusable key.
        GenerationMismatch: the index was made by another model than the embedder's.
    """
    keys = KeyRing(deps.api)
    serving = deps.pairs.now()
    refuse_other_model(serving.spec, serving.embedder)
    built = _build(deps)
    audit = AuditLog(deps.producer, deps.clock, deps.metrics, source=deps.source)
    app = FastAPI(
        title="Sightline",
        version="1",
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's pages load from another host
        redoc_url=None,
        lifespan=_lifespan(built, audit),
        redirect_slashes=False,
    )
    limit = RateLimit(deps.api.requests_per_minute, deps.clock)
    app.state.admission = Admission(keys, limit, deps.clock, deps.metrics)
    app.state.impressions = built.impressions
    _add_routes(app, deps, built)
    _add_middleware(app, deps, audit)
    problems.install(app)
    openapi.install(app, open_to_all=keys.open)
    return app


def _build(deps: ApiDependencies) -> _Built:
    probes = _probes(deps)
    threads = ApiThreads.made(
        searches=deps.api.max_concurrent_searches,
        decoding=deps.decode_threads,
        embedding=deps.embed_threads,
        probed=probes,
    )
    visible, pending = VisibleIndex(CurrentIndex(deps.pairs)), PendingImages(deps.clock)
    moderating = Moderating(deps.moderation, visible, clock=deps.clock, threads=threads)
    status = ImageStatus(
        visible, pending, deps.catalogue, deps.clock, threads=threads, moderating=moderating
    )
    impressions = Impressions(
        deps.store,
        deps.bucket,
        deps.producer,
        threads.impressions,
        source=deps.source,
        health=deps.health,
        metrics=deps.metrics,
    )
    ids = SearchIds(deps.secret)
    intake = Intake(
        AsyncInteractionPublisher(
            InteractionPublisher(deps.producer, ids, source=deps.source, clock=deps.clock)
        ),
        visible,
        Anchors(visible, deps.store, deps.bucket, ids),
        settings=deps.api,
        clock=deps.clock,
        health=deps.health,
        metrics=deps.metrics,
        threads=threads.judgements,
    )
    vectors = QueryVectors(
        deps.decode,
        decoding=threads.decoding,
        embedding=threads.embedding,
    )
    checks = RecallChecks(
        per_minute=deps.api.recall_checks_per_minute,
        threads=threads.recall_checks,
        clock=deps.clock,
        metrics=deps.metrics,
    )
    searching = Searching(
        pairs=deps.pairs,
        vectors=vectors,
        impressions=impressions,
        checks=checks,
        exploring=Exploring(deps.api, deps.clock),
        ids=ids,
        settings=deps.api,
        clock=deps.clock,
        health=deps.health,
        metrics=deps.metrics,
        threads=threads.searches,
    )
    writes = ImageWrites(
        status=status,
        pending=pending,
        catalogued=deps.catalogued,
        new_images=deps.new_images or deps.catalogued,
        publisher=deps.publisher,
        pictures=vectors,
        pairs=deps.pairs,
        bucket=deps.bucket,
        clock=deps.clock,
        metrics=deps.metrics,
        threads=threads.writes,
        moderating=moderating,
    )
    renditions = Renditions(
        deps.store,
        deps.bucket,
        deps.decode,
        health=deps.health,
        metrics=deps.metrics,
        at_once=deps.api.max_concurrent_renditions,
        threads=threads.renditions,
    )
    return _Built(
        threads,
        impressions,
        renditions,
        searching,
        intake,
        status,
        writes,
        moderating,
        _readiness(deps, probes, threads),
        visible,
    )


def _probes(deps: ApiDependencies) -> dict[Part, Probe]:
    return {
        Part.STORE: store_probe(deps.store, deps.bucket),
        Part.INDEX: index_probe(CurrentIndex(deps.pairs)),
        **deps.probes,
    }


def _readiness(
    deps: ApiDependencies, probes: Mapping[Part, Probe], threads: ApiThreads
) -> Readiness:
    return Readiness(
        deps.health,
        probes,
        threads.probes,
        pairs=deps.pairs,
        learning=deps.stats is not None and deps.triples is not None,
    )


def _add_routes(app: FastAPI, deps: ApiDependencies, built: _Built) -> None:
    app.include_router(search_router(built.searching))
    reads = ImageAnswers(built.status, built.renditions, built.moderating, deps.clock)
    app.include_router(image_router(built.writes, reads))
    app.include_router(moderation_router(built.moderating))
    app.include_router(interaction_router(built.intake))
    app.include_router(operations_router(built.readiness, deps.metrics))
    models = LearnedModels(ModelRegistry(deps.store, deps.bucket), deps.clock)
    app.include_router(serving_router(deps.pairs, models, deps.fillings))
    bits, reads_of_images = deps.api.near_duplicate_bits, built.threads.image_reads
    app.include_router(rankings_router(SideBySide(deps.pairs, bits=bits, threads=reads_of_images)))
    if deps.stats is not None:
        app.include_router(stats_router(deps.stats))
    if deps.triples is not None:
        app.include_router(triples_router(deps.triples, built.visible))
    if deps.judgements is not None:
        grading = Grading(
            deps.store,
            deps.bucket,
            built.visible,
            deps.judgements,
            SearchIds(deps.secret),
            threads=built.threads.judgements,
        )
        app.include_router(grading_router(grading))
    app.include_router(page_router())


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
    built: _Built, audit: AuditLog
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        forgetting = asyncio.create_task(built.status.forget_arrived(), name="forget-arrived")
        async with audit.running():
            yield
        forgetting.cancel()
        await built.impressions.drain(IMPRESSIONS_END_S)
        await asyncio.to_thread(built.threads.close)

    return lifespan
