"""A generation that is to be filled in, the steps that fill it out, on a node's parts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sightline.engine.object_store.lease import Lease
from sightline.engine.pictures.prepare import prepare
from sightline.stream_workers.image_log.groups import generation_groups
from sightline.stream_workers.reindexing.filling_record import FillingRecord
from sightline.stream_workers.reindexing.progress import filling_lease_key
from sightline.stream_workers.reindexing.reproduction import reproduce
from sightline.stream_workers.reindexing.reprojection import reprojecting
from sightline.stream_workers.reindexing.seed import BATCH
from sightline.stream_workers.reindexing.stored_picture import picture_of
from sightline.stream_workers.reindexing.work import GenerationWork

if TYPE_CHECKING:
    from contextlib import ExitStack

    from sightline.engine.serving.values import KnownGeneration
    from sightline.infra.wiring.node import Node
    from sightline.stream_workers.reindexing.progress import ReindexProgress

_LEASE_S = 6.0


def generation_work(
    node: Node, known: KnownGeneration, asked: ReindexProgress, held: ExitStack
) -> GenerationWork:
    """The steps, on indexes that `held` closes.

    Raises:
        NotFound, IndexOwned, PartUnavailable: an index cannot be opened.
        SettingsInvalid: the model cannot be run here.
    """
    indexes, settings = node.serving.indexes, node.settings
    old = held.enter_context(indexes.held(asked.seeded_from))
    new = held.enter_context(indexes.held(known.name))
    embedder = node.serving.models.embedder(known.model)
    noted = FillingRecord(node.serving.record, known.name, node.watch.clock)
    return GenerationWork(
        old=old,
        new=new,
        images=partial(old.scan, features=True, batch=BATCH),
        reproject=reprojecting(old.spec, new.spec, embedder.features_digest, embedder.projection),
        log=node.events.log,
        groups=generation_groups(known.group),
        remembered=node.events.remembered_images,
        producer=node.events.worker_producer,
        reproduce=partial(
            reproduce,
            read=partial(picture_of, node.store, max_bytes=settings.decode.max_bytes),
            decode=partial(prepare, limits=settings.decode, framing=embedder.framing),
            embedder=embedder,
        ),
        optimised=new.wait_optimised,
        is_filling=noted.is_filling,
        make_ready=noted.make_ready,
        refuse=noted.refuse,
        clock=node.watch.clock,
    )


def generation_lease(node: Node, generation: str) -> Lease:
    """The claim of a process to be the one that fills a generation."""
    return Lease(
        node.store,
        node.settings.store.bucket,
        filling_lease_key(node.settings.index.collection_prefix, generation),
        lasts_s=_LEASE_S,
        clock=node.watch.clock,
    )
