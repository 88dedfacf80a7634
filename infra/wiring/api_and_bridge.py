"""What a node can do beside feeding the index: the API and the bridge, made of its parts."""

from __future__ import annotations

import os

from sightline.engine.connecting.connections import signing_secret
from sightline.engine.errors import Part
from sightline.infra.views.stored_fillings import stored_fillings
from sightline.infra.views.stored_rollouts import stored_rollouts
from sightline.infra.wiring.label_followers import LabelFollowers
from sightline.infra.wiring.node import SOURCE, Node
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.search_api.dependencies import ApiDependencies
from sightline.stream_workers.bucket_bridge.bridge import BucketBridge


def api_dependencies(node: Node, followers: LabelFollowers) -> ApiDependencies:
    """What the search API is made of."""
    settings = node.settings
    cores = os.cpu_count() or 1
    return ApiDependencies(
        pairs=node.serving.pairs,
        store=node.store,
        bucket=settings.store.bucket,
        catalogue=node.publishing.catalogue,
        catalogued=node.catalogued,
        moderation=node.publishing.moderation,
        new_images=node.publishing.new_images,
        publisher=AsyncImagePublisher(node.publishing.publisher),
        producer=node.events.producer,
        api=settings.api,
        decode=settings.decode,
        clock=node.watch.clock,
        metrics=node.watch.metrics,
        health=node.watch.health,
        secret=signing_secret(settings, node.store),
        probes={Part.BROKER: node.events.ask_broker},
        source=SOURCE,
        stats=followers.search_stats.stats,
        triples=followers.recent_triples.known,
        judgements=followers.judgements.known,
        fillings=stored_fillings(settings, node.store),
        coming=stored_rollouts(settings, node.store),
        embed_threads=cores,
        decode_threads=cores,
    )


def bucket_bridge(node: Node) -> BucketBridge:
    """The bucket bridge around a node's parts."""
    settings = node.settings
    return BucketBridge(
        consumer=node.events.consumer(settings.bridge.group),
        producer=node.events.producer,
        store=node.store,
        images=node.catalogued,
        own_bucket=settings.store.bucket,
        settings=settings.bridge,
        limits=settings.worker,
        metrics=node.watch.metrics,
        health=node.watch.health,
    )
