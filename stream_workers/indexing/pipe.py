"""The parts of a worker in, its pipe out: stages, queues and lanes, built and not running yet.

::

    poll (per lane) ─▶ plan ─▶ fetch (threads) ─▶ embed (threads) ─▶ apply ─▶ durable ─▶ commit
                        └─── hides, deletes, unchanged bytes ─────▶┘

Stages return moves, `Router` carries them out; every arrow is a `LaneQueue`: urgent before live
before backfill. `LaneRoom` bounds what is between poll and apply; a lane without room pauses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import (
    Clock,
    Embedder,
    EventConsumer,
    EventProducer,
    ObjectStore,
    VectorIndex,
)
from sightline.engine.settings import WorkerSettings
from sightline.engine.vector_index.generations import refuse_other_model
from sightline.engine.vector_index.packed_features import Packing
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.dead_letters import DeadLetters
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.delivery.offsets import LaneOffsets
from sightline.stream_workers.delivery.outbox import Outbox
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.indexing.apply import Applier
from sightline.stream_workers.indexing.byte_budget import ByteBudget
from sightline.stream_workers.indexing.clusters import Clusters
from sightline.stream_workers.indexing.commit import Durability
from sightline.stream_workers.indexing.embed import BackfillThreads, Embedding, Prepared
from sightline.stream_workers.indexing.fetch import Fetcher
from sightline.stream_workers.indexing.lane_room import LaneRoom
from sightline.stream_workers.indexing.outcomes import Outcomes, Tells, always
from sightline.stream_workers.indexing.plan import Planner
from sightline.stream_workers.indexing.poll import LanePoller
from sightline.stream_workers.indexing.router import Router
from sightline.stream_workers.indexing.turns import Turns

_AT_ONCE = 64
"""Most events that are planned, or written, together: one question to the index for all."""
_TURN_S = 1.0
"""All that gives a stage work wakes it; only how much backfill may be embedded is told by time."""
_EMBED_TURN_S = 0.1


@dataclass(frozen=True, slots=True)
class StageLoop:
    """What the threads of a stage repeat: take what is queued, work on it, route its moves."""

    name: str
    turn: Callable[[float], bool]
    """Waits so many seconds for work; returns whether there was any."""
    threads: int = 1
    wait_s: float = _TURN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """One worker's way from the log to the index; nothing of it runs by itself."""

    pollers: Mapping[Lane, LanePoller]
    """What brings events in, each in a thread of its own."""
    loops: tuple[StageLoop, ...]
    """What the threads of all stages repeat."""
    router: Router
    room: LaneRoom
    budget: ByteBudget
    """The bytes of pictures that were fetched and are not decoded yet."""
    durability: Durability
    patience: Patience


def pipe_of(
    *,
    consumers: Callable[[Lane], EventConsumer],
    producer: EventProducer,
    store: ObjectStore,
    index: VectorIndex,
    embedder: Embedder,
    decode: Callable[[bytes], Prepared],
    settings: WorkerSettings,
    max_bytes: int,
    embed_threads: int | None,
    clock: Clock,
    metrics: Metrics,
    health: Health,
    tells: Tells = always,
) -> Pipe:
    """Build a worker's pipe.

    Args:
        consumers: makes the consumer of a lane, of group `<settings.group>-<lane>`.
        decode: encoded bytes to the network's crop; `functools.partial(prepare, limits=…, size=…)`.
        max_bytes: of an encoded file; larger ones are rejected unread.
        embed_threads: threads that decode and forward; none: one per core.
        tells: whether others are told what became of a record.

    The caller owns and closes producer, store, index and embedder; the worker closes its consumers.

    Raises:
        GenerationMismatch: the index was made by another model than the embedder's.
    """
    refuse_other_model(index.spec, embedder)
    threads = embed_threads or len(os.sched_getaffinity(0))
    offsets = {lane: LaneOffsets() for lane in Lane}
    turns = Turns()
    patience = Patience(settings, health, metrics)
    budget = ByteBudget(settings.fetched_bytes)
    room = LaneRoom(
        {Lane.LIVE: settings.live_in_flight, Lane.BACKFILL: settings.backfill_in_flight},
        parked_limit=settings.waiting_for_bytes,
        live_share=threads,
        clock=clock,
    )
    outbox = Outbox(producer, patience)
    dead_letters = DeadLetters(outbox, LetterLimit(LetterRate.of(settings, "worker")), metrics)
    durability = Durability(
        index, outbox, offsets=offsets, patience=patience, clock=clock, metrics=metrics
    )
    router = Router(
        clock=clock,
        embedders=1 if embedder.batched else threads,
        room=room,
        turns=turns,
        outcomes=Outcomes(
            outbox, dead_letters, index=index, tells=tells, clock=clock, metrics=metrics
        ),
        durability=durability,
    )
    planner = Planner(index, turns=turns, patience=patience)
    fetcher = Fetcher(
        store,
        settings=settings,
        max_bytes=max_bytes,
        budget=budget,
        patience=patience,
        clock=clock,
        metrics=metrics,
        store_is_back=router.to_fetch.hurry,
    )
    backfill = BackfillThreads(room, threads=threads, max_batch=settings.max_batch)
    embedding = Embedding(
        embedder,
        decode,
        packing=Packing.of(index.spec),
        clusters=Clusters(
            index, bits=settings.near_duplicate_bits, patience=patience, metrics=metrics
        ),
        backfill=backfill,
        patience=patience,
        clock=clock,
        metrics=metrics,
    )
    applier = Applier(
        index,
        again_s=settings.backoff_initial_s,
        patience=patience,
        clock=clock,
        metrics=metrics,
    )
    pollers = {
        lane: LanePoller(
            lane,
            partial(consumers, lane),
            router.to_plan,
            offsets=offsets[lane],
            settings=settings,
            room=room,
            hurry=durability.hurry,
            patience=patience,
            clock=clock,
            metrics=metrics,
        )
        for lane in Lane
    }
    turn, most = router.turn, settings.max_batch
    loops = (
        StageLoop("durability", durability.turn, wait_s=settings.commit_interval_s),
        StageLoop("apply", turn(partial(router.to_write.take, _AT_ONCE), applier.apply)),
        StageLoop(
            "embed",
            turn(partial(router.take_to_embed, most, backfill.most), embedding.embed),
            threads=threads,
            wait_s=_EMBED_TURN_S,
        ),
        StageLoop(
            "fetch",
            turn(partial(router.take_to_fetch, 2 * most * threads), fetcher.fetch),
            threads=settings.fetch_threads,
        ),
        StageLoop("plan", turn(partial(router.to_plan.take, _AT_ONCE), planner.plan)),
    )
    return Pipe(
        pollers=pollers,
        loops=loops,
        router=router,
        room=room,
        budget=budget,
        durability=durability,
        patience=patience,
    )
