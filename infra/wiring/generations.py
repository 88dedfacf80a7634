"""A generation and who is told of it in, the worker and the loop that feed it out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sightline.engine.pictures.prepare import prepare
from sightline.engine.ports import Embedder, VectorIndex
from sightline.engine.serving.values import KnownGeneration
from sightline.engine.serving.who_is_told import GenerationHealth, GenerationMetrics, Voice
from sightline.infra.wiring.node import Node
from sightline.stream_workers.image_log.groups import lane_group, moderation_group
from sightline.stream_workers.indexing.pipe import PipePorts, PipeSettings, PipeWatch, pipe_of
from sightline.stream_workers.indexing.worker import IndexWorker
from sightline.stream_workers.moderating.loop import ModerationLoop


@dataclass(frozen=True, kw_only=True)
class FedGeneration:
    """A generation that is open to be fed, and who is told of it."""

    known: KnownGeneration
    index: VectorIndex
    embedder: Embedder
    voice: Voice


def index_worker(node: Node, fed: FedGeneration) -> IndexWorker:
    """An index worker of a generation, around a node's parts."""
    settings, embedder = node.settings, fed.embedder
    metrics = GenerationMetrics(node.watch.metrics, fed.voice)
    pipe = pipe_of(
        PipePorts(
            consumers=lambda lane: node.events.consumer(lane_group(fed.known.group, lane)),
            producer=node.events.worker_producer,
            store=node.store,
            index=fed.index,
            embedder=embedder,
            decode=partial(prepare, limits=settings.decode, framing=embedder.framing),
        ),
        PipeSettings(
            worker=settings.worker,
            max_bytes=settings.decode.max_bytes,
            embed_threads=settings.embedder.threads,
        ),
        PipeWatch(
            clock=node.watch.clock,
            metrics=metrics,
            health=GenerationHealth(node.watch.health, fed.voice, node.watch.clock),
            tells=fed.voice.tells,
        ),
    )
    return IndexWorker(pipe, drain_s=settings.worker.drain_s, metrics=metrics)


def moderation_loop(node: Node, fed: FedGeneration) -> ModerationLoop:
    """What applies the operator's decisions to a generation, around a node's parts."""
    return ModerationLoop(
        consumer=node.events.consumer(moderation_group(fed.known.group)),
        producer=node.events.worker_producer,
        index=fed.index,
        settings=node.settings.worker,
        metrics=GenerationMetrics(node.watch.metrics, fed.voice),
        health=GenerationHealth(node.watch.health, fed.voice, node.watch.clock),
        tells=fed.voice.tells,
    )
