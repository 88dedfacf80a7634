"""The index worker: image events in, an index that tells the truth out (docs/architecture.md).

::

    poll (per lane) ─▶ plan ─▶ fetch (threads) ─▶ embed (threads) ─▶ apply ─▶ durable ─▶ commit
                        └─── hides, deletes, unchanged bytes ─────▶┘

Stages return moves, `Router` carries them out; every arrow is a `LaneQueue`: urgent before live
before backfill. `LaneRoom` bounds what is between poll and apply; a lane without room pauses.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sightline.engine.errors import SightlineError
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
from sightline.stream_workers.delivery.retries import GaveUp, Patience
from sightline.stream_workers.delivery.threads import Crew
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

_log = logging.getLogger(__name__)
_JOIN_S = 5.0
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


class IndexWorker:
    """One worker; several may share a group, and in one process an index.

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

    def __init__(
        self,
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
    ) -> None:
        refuse_other_model(index.spec, embedder)
        threads = embed_threads or len(os.sched_getaffinity(0))
        offsets = {lane: LaneOffsets() for lane in Lane}
        turns = Turns()
        self._settings = settings
        self._metrics = metrics
        self._crew = Crew()
        self._patience = patience = Patience(settings, health, metrics)
        self._budget = ByteBudget(settings.fetched_bytes)
        self._room = LaneRoom(
            {Lane.LIVE: settings.live_in_flight, Lane.BACKFILL: settings.backfill_in_flight},
            parked_limit=settings.waiting_for_bytes,
            live_share=threads,
            clock=clock,
        )
        outbox = Outbox(producer, patience)
        dead_letters = DeadLetters(outbox, LetterLimit(LetterRate.of(settings, "worker")), metrics)
        self._durability = Durability(
            index, outbox, offsets=offsets, patience=patience, clock=clock, metrics=metrics
        )
        self._router = Router(
            clock=clock,
            embedders=1 if embedder.batched else threads,
            room=self._room,
            turns=turns,
            outcomes=Outcomes(
                outbox, dead_letters, index=index, tells=tells, clock=clock, metrics=metrics
            ),
            durability=self._durability,
        )
        planner = Planner(index, turns=turns, patience=patience)
        fetcher = Fetcher(
            store,
            settings=settings,
            max_bytes=max_bytes,
            budget=self._budget,
            patience=patience,
            clock=clock,
            metrics=metrics,
            store_is_back=self._router.to_fetch.hurry,
        )
        backfill = BackfillThreads(self._room, threads=threads, max_batch=settings.max_batch)
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
        self.pollers = {
            lane: LanePoller(
                lane,
                partial(consumers, lane),
                self._router.to_plan,
                offsets=offsets[lane],
                settings=settings,
                room=self._room,
                hurry=self._durability.hurry,
                patience=patience,
                clock=clock,
                metrics=metrics,
            )
            for lane in Lane
        }
        turn, most = self._router.turn, settings.max_batch
        self.loops = (
            StageLoop("durability", self._durability.turn, wait_s=settings.commit_interval_s),
            StageLoop("apply", turn(partial(self._router.to_write.take, _AT_ONCE), applier.apply)),
            StageLoop(
                "embed",
                turn(partial(self._router.take_to_embed, most, backfill.most), embedding.embed),
                threads=threads,
                wait_s=_EMBED_TURN_S,
            ),
            StageLoop(
                "fetch",
                turn(partial(self._router.take_to_fetch, 2 * most * threads), fetcher.fetch),
                threads=settings.fetch_threads,
            ),
            StageLoop("plan", turn(partial(self._router.to_plan.take, _AT_ONCE), planner.plan)),
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then drain, commit and leave the groups. Runs once.

        Raises:
            DeadLetterLimit: too many dead letters; nothing past the last one is committed.
            SightlineError: anything else that a thread could not go on from.
        """
        for loop in self.loops:
            self._crew.start(loop.name, partial(loop.turn, loop.wait_s), threads=loop.threads)
        for lane, poller in self.pollers.items():
            self._crew.spawn(f"poll-{lane}", poller.run)
        while not stop.wait(0.1) and not self._crew.failed.is_set():
            self._observe()
        self._drain()
        self._close()
        if self._crew.failure is not None:
            raise self._crew.failure

    @property
    def in_flight(self) -> int:
        """Events that were polled and have not ended yet, those that wait included."""
        return sum(self._room.in_flight(lane) for lane in Lane)

    @property
    def held_bytes(self) -> int:
        """Bytes of pictures that were fetched and are not decoded yet."""
        return self._budget.held

    def depth(self, stage: str, lane: Lane) -> int:
        """Return how many events of a lane wait for a stage: plan, fetch, embed or apply."""
        return self._router.queues[stage].depth(lane)

    def _observe(self) -> None:
        for stage in self._router.queues:
            for lane in Lane:
                self._metrics.queue_depth.labels(lane, stage).set(self.depth(stage, lane))

    def _drain(self) -> None:
        """Finish what is being worked on, in bounded time; nothing new comes in."""
        for poller in self.pollers.values():
            poller.draining.set()
        if not self._crew.failed.is_set():
            self._room.wait_active_done(self._settings.drain_s)
        # What still waits is given up: uncommitted, so it is delivered again.
        give_up = threading.Timer(self._settings.drain_s, self._patience.giving_up.set)
        give_up.daemon = True
        give_up.start()
        try:
            self._durability.settle()
        except GaveUp:
            _log.warning("stopped before everything was durable; it will be delivered again")
        except SightlineError as error:
            self._crew.failure = self._crew.failure or error
        give_up.cancel()
        self._patience.giving_up.set()

    def _close(self) -> None:
        for poller in self.pollers.values():
            poller.closing.set()
        for poller in self.pollers.values():
            poller.closed.wait(_JOIN_S)
        for queue in self._router.queues.values():
            queue.close()
        self._durability.hurry()
        self._crew.stop(_JOIN_S)
