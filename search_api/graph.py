"""Collaborators in, the objects that answer requests out: the one place that builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sightline.engine.errors import Part
from sightline.engine.search_ids import SearchIds
from sightline.engine.serving.current_index import CurrentIndex
from sightline.engine.vector_index.visible import VisibleIndex
from sightline.producers.interactions.publisher import InteractionPublisher
from sightline.producers.interactions.publisher_async import AsyncInteractionPublisher
from sightline.search_api.dependencies import ApiDependencies
from sightline.search_api.feedback.anchors import Anchors
from sightline.search_api.feedback.intake import Intake
from sightline.search_api.http.limits.concurrency import Gate
from sightline.search_api.images.acknowledging import Acknowledging
from sightline.search_api.images.changing import Changing
from sightline.search_api.images.deleting import Deleting
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.pending import PendingImages
from sightline.search_api.images.renditions import Renditions
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.images.uploading import Uploading
from sightline.search_api.images.writes import ImageWrites
from sightline.search_api.operations.readiness import Probe, Readiness, index_probe, store_probe
from sightline.search_api.search.answering import Answering
from sightline.search_api.search.exploring import Exploring
from sightline.search_api.search.impressions import Impressions
from sightline.search_api.search.query_vectors import QueryVectors
from sightline.search_api.search.recall_checks import RecallChecks
from sightline.search_api.search.searching import Searching
from sightline.search_api.threads.pools import ApiThreads


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiGraph:
    """What the routes answer by, and what starts and stops with the app."""

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


def build_graph(deps: ApiDependencies) -> ApiGraph:
    """Build what answers requests; the threads that it starts end by `ApiThreads.close`."""
    probes = _probes(deps)
    threads = ApiThreads.made(
        searches=deps.api.max_concurrent_searches,
        decoding=deps.decode_threads,
        embedding=deps.embed_threads,
        probed=probes,
    )
    visible, pending = VisibleIndex(CurrentIndex(deps.pairs)), PendingImages(deps.clock)
    vectors = QueryVectors(deps.decode, decoding=threads.decoding, embedding=threads.embedding)
    moderating = Moderating(deps.moderation, visible, clock=deps.clock, threads=threads)
    status = ImageStatus(
        visible, pending, deps.catalogue, deps.clock, threads=threads, moderating=moderating
    )
    impressions = _impressions(deps, threads)
    ids = SearchIds(deps.secret)
    acknowledging = _acknowledging(deps, threads, status, pending)
    return ApiGraph(
        threads=threads,
        impressions=impressions,
        renditions=_renditions(deps, threads),
        searching=_searching(deps, threads, vectors, impressions, ids),
        intake=_intake(deps, threads, visible, ids),
        status=status,
        writes=_writes(deps, acknowledging, vectors, moderating, status),
        moderating=moderating,
        readiness=_readiness(deps, probes, threads),
        visible=visible,
    )


def _impressions(deps: ApiDependencies, threads: ApiThreads) -> Impressions:
    return Impressions(
        deps.store,
        deps.bucket,
        deps.producer,
        threads.impressions,
        source=deps.source,
        health=deps.health,
        metrics=deps.metrics,
    )


def _intake(
    deps: ApiDependencies, threads: ApiThreads, visible: VisibleIndex, ids: SearchIds
) -> Intake:
    return Intake(
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


def _searching(
    deps: ApiDependencies,
    threads: ApiThreads,
    vectors: QueryVectors,
    impressions: Impressions,
    ids: SearchIds,
) -> Searching:
    checks = RecallChecks(
        per_minute=deps.api.recall_checks_per_minute,
        threads=threads.recall_checks,
        clock=deps.clock,
        metrics=deps.metrics,
    )
    gate = Gate(deps.api.max_concurrent_searches, deps.metrics.searches_in_flight)
    answering = Answering(
        pairs=deps.pairs,
        impressions=impressions,
        checks=checks,
        gate=gate,
        ids=ids,
        clock=deps.clock,
        metrics=deps.metrics,
    )
    return Searching(
        pairs=deps.pairs,
        vectors=vectors,
        exploring=Exploring(deps.api, deps.clock, ids),
        answering=answering,
        gate=gate,
        ids=ids,
        settings=deps.api,
        health=deps.health,
        threads=threads.searches,
    )


def _acknowledging(
    deps: ApiDependencies, threads: ApiThreads, status: ImageStatus, pending: PendingImages
) -> Acknowledging:
    return Acknowledging(
        status=status,
        pending=pending,
        catalogued=deps.catalogued,
        publisher=deps.publisher,
        clock=deps.clock,
        metrics=deps.metrics,
        threads=threads.writes,
    )


def _writes(
    deps: ApiDependencies,
    acknowledging: Acknowledging,
    vectors: QueryVectors,
    moderating: Moderating,
    status: ImageStatus,
) -> ImageWrites:
    catalogued = deps.catalogued
    uploading = Uploading(
        acknowledging,
        catalogued=catalogued,
        new_images=deps.new_images or catalogued,
        pictures=vectors,
        pairs=deps.pairs,
        bucket=deps.bucket,
        moderating=moderating,
    )
    changing = Changing(acknowledging, catalogued=catalogued, moderating=moderating)
    return ImageWrites(
        uploading, changing, Deleting(acknowledging, catalogued=catalogued, status=status)
    )


def _renditions(deps: ApiDependencies, threads: ApiThreads) -> Renditions:
    return Renditions(
        deps.store,
        deps.bucket,
        deps.decode,
        health=deps.health,
        metrics=deps.metrics,
        at_once=deps.api.max_concurrent_renditions,
        threads=threads.renditions,
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
