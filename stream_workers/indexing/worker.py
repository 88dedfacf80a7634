"""The index worker: image events in, an index that tells the truth out (docs/architecture.md).

::

    poll (per lane) ─▶ plan ─▶ fetch (threads) ─▶ embed (threads) ─▶ apply ─▶ durable ─▶ commit
                        └─── hides, deletes, unchanged bytes ─────▶┘

Every arrow is a `LaneQueue`: urgent before live before backfill. `LaneRoom` bounds what is
between poll and apply; a lane without room pauses.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

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
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.dead_letters import DeadLetters
from sightline.stream_workers.delivery.outbox import Outbox
from sightline.stream_workers.delivery.retries import GaveUp, Patience
from sightline.stream_workers.delivery.threads import Crew, Later
from sightline.stream_workers.indexing.apply import Applier, ApplyRoutes, Write
from sightline.stream_workers.indexing.commit import Durability
from sightline.stream_workers.indexing.embed import (
    BackfillThreads,
    EmbeddingStage,
    EmbedRoutes,
    Prepared,
)
from sightline.stream_workers.indexing.fetch import ByteBudget, Fetcher, FetchRoutes, backfill_share
from sightline.stream_workers.indexing.lane_queue import LaneQueue, LaneRoom
from sightline.stream_workers.indexing.outcomes import Endings
from sightline.stream_workers.indexing.plan import Planner, Routes
from sightline.stream_workers.indexing.poll import LanePoller
from sightline.stream_workers.indexing.router import HandingOn
from sightline.stream_workers.indexing.task import (
    ImageTask,
    Polled,
)
from sightline.stream_workers.indexing.turns import SharedEmbeddings, Turns

_log = logging.getLogger(__name__)
_JOIN_S = 5.0


class IndexWorker:
    """One worker; several may share a group, and in one process an index.

    Args:
        consumers: makes the consumer of a lane, of group `<settings.group>-<lane>`.
        decode: encoded bytes to the network's crop; `functools.partial(prepare, limits=…, size=…)`.
        max_bytes: of an encoded file; larger ones are rejected unread.
        embed_threads: threads that decode and forward; none: one per core.

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
    ) -> None:
        refuse_other_model(index.spec, embedder)
        threads = embed_threads or len(os.sched_getaffinity(0))
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._index = index
        self._threads = threads
        self._consumers = consumers
        self._crew = Crew()
        self._patience = Patience(settings, health, metrics)
        self._outbox = Outbox(producer, self._patience)
        self._dead_letters = DeadLetters(
            self._outbox,
            clock=clock,
            metrics=metrics,
            limit=settings.dead_letter_limit,
            window_s=settings.dead_letter_window_s,
        )
        self._room = LaneRoom(
            {Lane.LIVE: settings.live_in_flight, Lane.BACKFILL: settings.backfill_in_flight},
            parked_limit=settings.waiting_for_bytes,
            live_share=threads,
            clock=clock,
        )
        self._later = Later(clock)
        self._turns = Turns()
        self._shared = SharedEmbeddings()
        self._budget = ByteBudget(settings.fetched_bytes)
        self._to_plan: LaneQueue[Polled | ImageTask] = LaneQueue()
        self._to_fetch: LaneQueue[ImageTask] = LaneQueue()
        self._to_embed: LaneQueue[ImageTask] = LaneQueue(takers=1 if embedder.batched else threads)
        self._to_write: LaneQueue[Write] = LaneQueue()
        self._handing = HandingOn(
            to_plan=self._to_plan,
            to_fetch=self._to_fetch,
            to_embed=self._to_embed,
            to_write=self._to_write,
            budget=self._budget,
            room=self._room,
            later=self._later,
            again_s=settings.backoff_initial_s,
            shared=self._shared,
        )
        self._pollers: dict[Lane, LanePoller] = {}
        self._durability = Durability(
            index,
            self._outbox,
            interval_s=settings.commit_interval_s,
            patience=self._patience,
            clock=clock,
            metrics=metrics,
        )
        self._endings = Endings(
            outbox=self._outbox,
            dead_letters=self._dead_letters,
            durability=self._durability,
            turns=self._turns,
            room=self._room,
            clock=clock,
            metrics=metrics,
            spec=lambda: index.spec,
            offsets=lambda lane: self._pollers[lane].offsets,
            resume=self._handing.resume,
            release_followers=self._handing.release_followers,
        )
        self._planner = Planner(
            self._to_plan,
            index,
            turns=self._turns,
            shared=self._shared,
            patience=self._patience,
            routes=Routes(
                write=self._handing.write,
                hide=self._handing.hide,
                fetch=self._handing.fetch,
                embed=self._handing.embed,
                wait=self._handing.wait,
                malformed=self._endings.malformed,
                ignore=self._endings.ignore,
            ),
        )
        self._fetcher = Fetcher(
            self._to_fetch,
            store,
            settings=settings,
            max_bytes=max_bytes,
            budget=self._budget,
            room=self._room,
            later=self._later,
            patience=self._patience,
            clock=clock,
            metrics=metrics,
            backfill_most=backfill_share(self._to_embed.depth, 2 * settings.max_batch * threads),
            routes=FetchRoutes(
                share=self._planner.share,
                plan=self._handing.plan_again,
                reject=self._handing.reject_unseen,
            ),
        )
        self._embedding = EmbeddingStage(
            self._to_embed,
            embedder,
            decode,
            max_batch=settings.max_batch,
            backfill=BackfillThreads(self._room, threads=threads, max_batch=settings.max_batch),
            budget=self._budget,
            patience=self._patience,
            clock=clock,
            metrics=metrics,
            taken=self._to_fetch.kick,
            routes=EmbedRoutes(
                embedded=self._handing.judged,
                refused=self._handing.judged,
                failed=self._endings.undecidable,
            ),
        )
        self._applier = Applier(
            self._to_write,
            index,
            patience=self._patience,
            clock=clock,
            metrics=metrics,
            routes=ApplyRoutes(applied=self._endings.applied, plan_again=self._handing.plan_later),
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then drain, commit and leave the groups. Runs once.

        Raises:
            DeadLetterLimit: too many dead letters; nothing past the last one is committed.
            SightlineError: anything else that a thread could not go on from.
        """
        self._start()
        while not stop.wait(0.1) and not self._crew.failed.is_set():
            self._observe()
        self._drain()
        self._close()
        if self._crew.failure is not None:
            raise self._crew.failure

    def _start(self) -> None:
        crew = self._crew
        crew.start("durability", self._durability.turn)
        crew.start("apply", self._applier.turn)
        crew.start("embed", self._embedding.turn, threads=self._threads)
        crew.start("fetch", self._fetcher.turn, threads=self._settings.fetch_threads)
        crew.start("later", self._later.turn)
        crew.start("plan", self._planner.turn)
        for lane, poller in self.make_pollers().items():
            crew.spawn(f"poll-{lane}", poller.run)

    def make_pollers(self) -> dict[Lane, LanePoller]:
        """One consumer a lane, not yet subscribed."""
        for lane in Lane:
            self._pollers[lane] = LanePoller(
                lane,
                self._consumers(lane),
                self._to_plan,
                settings=self._settings,
                room=self._room,
                hurry=self._durability.hurry,
                patience=self._patience,
                clock=self._clock,
                metrics=self._metrics,
            )
        return self._pollers

    def _observe(self) -> None:
        queues: dict[str, LaneQueue[Any]] = {
            "plan": self._to_plan,
            "fetch": self._to_fetch,
            "embed": self._to_embed,
            "apply": self._to_write,
        }
        for lane in Lane:
            for stage, queue in queues.items():
                self._metrics.queue_depth.labels(lane, stage).set(queue.depth(lane))

    def _drain(self) -> None:
        """Finish what is being worked on, in bounded time; nothing new comes in."""
        for poller in self._pollers.values():
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
        for poller in self._pollers.values():
            poller.closing.set()
        for poller in self._pollers.values():
            poller.closed.wait(_JOIN_S)
        for queue in (self._to_plan, self._to_fetch, self._to_embed, self._to_write):
            queue.close()
        self._durability.hurry()
        self._crew.stop(_JOIN_S)
