"""What a node can do: the worker, the API and the bridge, made of its parts."""

from __future__ import annotations

import os
from functools import partial

from sightline.engine.connecting.connections import signing_secret
from sightline.engine.errors import Part
from sightline.engine.pictures.prepare import prepare
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.labels import LabelFollowers
from sightline.infra.wiring.node import SOURCE, Node
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.search_api.dependencies import ApiDependencies
from sightline.stream_workers.bucket_bridge.bridge import BucketBridge
from sightline.stream_workers.image_log.groups import lane_group, moderation_group
from sightline.stream_workers.indexing.worker import IndexWorker
from sightline.stream_workers.moderating.loop import ModerationLoop


def index_worker(node: Node) -> IndexWorker:
    """An index worker around a node's parts."""
    settings = node.settings
    return IndexWorker(
        consumers=lambda lane: node.consumer(lane_group(settings.worker, lane)),
        producer=node.worker_producer,
        store=node.store,
        index=node.index,
        embedder=node.embedder,
        decode=partial(prepare, limits=settings.decode, framing=node.embedder.framing),
        settings=settings.worker,
        max_bytes=settings.decode.max_bytes,
        embed_threads=settings.embedder.threads,
        clock=node.clock,
        metrics=node.metrics,
        health=node.health,
    )


def worker_loops(node: Node) -> dict[str, Loop]:
    """What applies the log to the index: image events, and the operator's decisions."""
    return {"worker": index_worker(node).run, "moderation": moderation_loop(node).run}


def moderation_loop(node: Node) -> ModerationLoop:
    """What applies the operator's decisions, around a node's parts."""
    settings = node.settings.worker
    return ModerationLoop(
        consumer=node.consumer(moderation_group(settings)),
        producer=node.worker_producer,
        index=node.index,
        settings=settings,
        metrics=node.metrics,
        health=node.health,
    )


def api_dependencies(node: Node, followers: LabelFollowers) -> ApiDependencies:
    """What the search API is made of."""
    settings = node.settings
    cores = os.cpu_count() or 1
    return ApiDependencies(
        index=node.index,
        store=node.store,
        bucket=settings.store.bucket,
        embedder=node.embedder,
        catalogue=node.catalogue,
        catalogued=node.catalogued,
        moderation=node.moderation,
        new_images=node.new_images,
        publisher=AsyncImagePublisher(node.publisher),
        producer=node.producer,
        api=settings.api,
        decode=settings.decode,
        clock=node.clock,
        metrics=node.metrics,
        health=node.health,
        secret=signing_secret(settings, node.store),
        probes={Part.BROKER: node.ask_broker},
        source=SOURCE,
        stats=followers.search_stats.stats,
        triples=followers.recent_triples.triples,
        judgements=followers.judgements.judgements,
        embed_threads=cores,
        decode_threads=cores,
    )


def bucket_bridge(node: Node) -> BucketBridge:
    """The bucket bridge around a node's parts."""
    settings = node.settings
    return BucketBridge(
        consumer=node.consumer(settings.bridge.group),
        producer=node.producer,
        store=node.store,
        images=node.catalogued,
        own_bucket=settings.store.bucket,
        settings=settings.bridge,
        limits=settings.worker,
        metrics=node.metrics,
        health=node.health,
    )
