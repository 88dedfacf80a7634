"""The index worker: image events in, an index that tells the truth out (docs/architecture.md)."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from functools import partial

from sightline.engine.errors import SightlineError
from sightline.engine.metrics import Metrics
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.retries import GaveUp
from sightline.stream_workers.delivery.threads import Crew
from sightline.stream_workers.indexing.pipe import Pipe
from sightline.stream_workers.indexing.poll import LanePoller

_log = logging.getLogger(__name__)
_JOIN_S = 5.0


class IndexWorker:
    """One worker; several may share a group, and in one process an index.

    Args:
        pipe: its own.
        drain_s: how long what is under way may take to end, once it is told to stop.
        metrics: show how much waits for each stage.
    """

    def __init__(self, pipe: Pipe, *, drain_s: float, metrics: Metrics) -> None:
        self.pipe = pipe
        self._drain_s = drain_s
        self._metrics = metrics
        self._crew = Crew()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then drain, commit and leave the groups. Runs once.

        Raises:
            DeadLetterLimit: too many dead letters; nothing past the last one is committed.
            SightlineError: anything else that a thread could not go on from.
        """
        for loop in self.pipe.loops:
            self._crew.start(loop.name, partial(loop.turn, loop.wait_s), threads=loop.threads)
        for lane, poller in self.pipe.pollers.items():
            self._crew.spawn(f"poll-{lane}", partial(self._poll, poller))
        while not stop.wait(0.1) and not self._crew.failed.is_set():
            self._observe()
        self._drain()
        self._close()
        if self._crew.failure is not None:
            raise self._crew.failure

    def _poll(self, poller: LanePoller) -> None:
        """Route what a lane brings, until its poller is told to close."""
        with closing(poller.polls()) as polls:
            for plans in polls:
                self.pipe.router.route(plans)

    def _observe(self) -> None:
        for stage, queue in self.pipe.router.queues.items():
            for lane in Lane:
                self._metrics.queue_depth.labels(lane, stage).set(queue.depth(lane))

    def _drain(self) -> None:
        """Finish what is being worked on, in bounded time; nothing new comes in."""
        for poller in self.pipe.pollers.values():
            poller.draining.set()
        if not self._crew.failed.is_set():
            self.pipe.room.wait_active_done(self._drain_s)
        # What still waits is given up: uncommitted, so it is delivered again.
        give_up = threading.Timer(self._drain_s, self.pipe.patience.giving_up.set)
        give_up.daemon = True
        give_up.start()
        try:
            self.pipe.durability.settle()
        except GaveUp:
            _log.warning("stopped before everything was durable; it will be delivered again")
        except SightlineError as error:
            self._crew.failure = self._crew.failure or error
        give_up.cancel()
        self.pipe.patience.giving_up.set()

    def _close(self) -> None:
        for poller in self.pipe.pollers.values():
            poller.closing.set()
        for poller in self.pipe.pollers.values():
            poller.closed.wait(_JOIN_S)
        for queue in self.pipe.router.queues.values():
            queue.close()
        self.pipe.durability.hurry()
        self._crew.stop(_JOIN_S)
