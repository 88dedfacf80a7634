"""The parts of a worker in, its pipe out: stages, queues and lanes, built and not running yet.

::

    poll (per lane) ─▶ plan ─▶ fetch (threads) ─▶ embed (threads) ─▶ apply ─▶ durable ─▶ commit
                        └─── hides, deletes, unchanged bytes ─────▶┘

Stages return moves, `Router` carries them out; every arrow is a `LaneQueue`: urgent before live
before backfill. `LaneRoom` bounds what is between poll and apply; a lane without room pauses.
"""

from __future__ import annotations

import os
import threading
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
from sightline.stream_workers.indexing.context import StageContext
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PipePorts:
    """What a pipe reads and writes, and by what it sees.

    Its caller owns and closes producer, store, index and embedder; the worker closes its consumers.
    """

    consumers: Callable[[Lane], EventConsumer]
    """Makes the consumer of a lane, of group `<settings.group>-<lane>`."""
    producer: EventProducer
    store: ObjectStore
    index: VectorIndex
    embedder: Embedder
    decode: Callable[[bytes], Prepared]
    """Encoded bytes to the network's crop; `functools.partial(prepare, limits=…, size=…)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeSettings:
    """How much a pipe does at once, and how long it waits."""

    worker: WorkerSettings
    max_bytes: int
    """The most bytes of an encoded file; larger ones are rejected unread."""
    embed_threads: int | None = None
    """How many threads decode and forward; None: one per core."""

    @property
    def threads(self) -> int:
        """How many threads decode and forward, as set or by the cores of the machine."""
        return self.embed_threads or len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeWatch:
    """What time it is in a pipe, and who is told how it does."""

    clock: Clock
    metrics: Metrics
    health: Health
    tells: Tells = always
    """Whether others are told what became of a record."""


def pipe_of(ports: PipePorts, settings: PipeSettings, watch: PipeWatch) -> Pipe:
    """Build a worker's pipe.

    Raises:
        GenerationMismatch: the index was made by another model than the embedder's.
    """
    refuse_other_model(ports.index.spec, ports.embedder)
    worker = settings.worker
    context = StageContext(
        patience=Patience(worker, watch.health, watch.metrics),
        clock=watch.clock,
        metrics=watch.metrics,
    )
    books = _Books.of(settings, watch.clock)
    outbox = Outbox(ports.producer, context.patience)
    durability = Durability(
        ports.index, outbox, offsets=books.offsets, awaited=books.awaited, context=context
    )
    router = Router(
        clock=watch.clock,
        embedders=1 if ports.embedder.batched else settings.threads,
        room=books.room,
        turns=books.turns,
        outcomes=_outcomes(ports, worker, outbox, context, watch.tells),
        durability=durability,
    )
    stages = _stage_loops(ports, settings, context, books, router)
    return Pipe(
        pollers=_pollers(ports, worker, context, books),
        loops=(StageLoop("durability", durability.turn, wait_s=worker.commit_interval_s), *stages),
        router=router,
        room=books.room,
        budget=books.budget,
        durability=durability,
        patience=context.patience,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """What several stages read and write, so that none of them has to know another."""

    offsets: Mapping[Lane, LaneOffsets]
    awaited: threading.Event
    turns: Turns
    budget: ByteBudget
    room: LaneRoom

    @classmethod
    def of(cls, settings: PipeSettings, clock: Clock) -> _Books:
        worker, awaited = settings.worker, threading.Event()
        return cls(
            offsets={lane: LaneOffsets(awaited) for lane in Lane},
            awaited=awaited,
            turns=Turns(),
            budget=ByteBudget(worker.fetched_bytes),
            room=LaneRoom(
                {Lane.LIVE: worker.live_in_flight, Lane.BACKFILL: worker.backfill_in_flight},
                parked_limit=worker.waiting_for_bytes,
                live_share=settings.threads,
                clock=clock,
            ),
        )


def _outcomes(
    ports: PipePorts, worker: WorkerSettings, outbox: Outbox, context: StageContext, tells: Tells
) -> Outcomes:
    limit = LetterLimit(LetterRate.of(worker, "worker"))
    dead_letters = DeadLetters(outbox, limit, context.metrics)
    return Outcomes(outbox, dead_letters, index=ports.index, tells=tells, context=context)


def _pollers(
    ports: PipePorts, worker: WorkerSettings, context: StageContext, books: _Books
) -> dict[Lane, LanePoller]:
    return {
        lane: LanePoller(
            lane,
            partial(ports.consumers, lane),
            offsets=books.offsets[lane],
            settings=worker,
            room=books.room,
            context=context,
        )
        for lane in Lane
    }


def _stage_loops(
    ports: PipePorts, settings: PipeSettings, context: StageContext, books: _Books, router: Router
) -> tuple[StageLoop, ...]:
    """Return what the threads of the stages repeat that take from the router's queues."""
    worker, threads, turn = settings.worker, settings.threads, router.turn
    most = worker.max_batch
    backfill = BackfillThreads(books.room, threads=threads, max_batch=most)
    planner = Planner(ports.index, turns=books.turns, patience=context.patience)
    fetcher = Fetcher(
        ports.store,
        settings=worker,
        max_bytes=settings.max_bytes,
        budget=books.budget,
        context=context,
    )
    embedding = Embedding(
        ports.embedder,
        ports.decode,
        packing=Packing.of(ports.index.spec),
        backfill=backfill,
        context=context,
    )
    applier = Applier(
        ports.index,
        clusters=Clusters(ports.index, bits=worker.near_duplicate_bits, context=context),
        again_s=worker.backoff_initial_s,
        context=context,
    )
    return (
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
            threads=worker.fetch_threads,
        ),
        StageLoop("plan", turn(partial(router.to_plan.take, _AT_ONCE), planner.plan)),
    )
