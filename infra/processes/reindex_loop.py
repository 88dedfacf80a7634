"""Fills the generations that are to be filled, in a process that has their indexes open."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from itertools import chain

from sightline.engine.errors import SightlineError
from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.object_store.lease import Lease
from sightline.engine.pacing import Pace
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.stopping import EitherStop, until
from sightline.infra.wiring.node import Node
from sightline.infra.wiring.reindexing import generation_lease, generation_work
from sightline.stream_workers.image_log.fed_groups import FedGroups
from sightline.stream_workers.reindexing.progress import ProgressRecord, ReindexProgress
from sightline.stream_workers.reindexing.reindexing import Reindexing

_LOOK_EVERY_S = 0.5
_SOON_S = 0.05
"""While the worker of a generation that is as new as this makes its index."""
_NEW = timedelta(seconds=10)

_log = logging.getLogger(__name__)


class ReindexLoop:
    """Looks whether a generation is to be filled, and fills it unless another process does.

    Args:
        node: the parts of the process.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._serving = node.serving
        self._seen = node.serving.watched.changes
        self.is_soon = False
        """Whether the last look found a new generation whose index is about to be made."""

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`, also when the record changes; what fails is tried again."""
        keep_looking(
            partial(self.look, stop),
            stop,
            every_s=_LOOK_EVERY_S,
            obstacle=Obstacle(_log, "a re-index waits"),
            wait=partial(self._wait, stop),
        )

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        self._serving.watched.wait(self._seen, _SOON_S if self.is_soon else seconds, stop)

    def look(self, stop: threading.Event) -> None:
        """Fill what is to be filled, one generation after the other.

        Raises:
            PartUnavailable: a part did not answer.
            NotFound: an index is not there (yet).
        """
        self._seen, self.is_soon = self._serving.watched.changes, False
        found = self._serving.watched.find()
        if found is not None and _has_work(found.state):
            found = self._serving.watched.find(now=True)
        if found is None:
            return
        for known in until(stop, found.state.generations):
            if known.name in found.state.behind and self._serving.fed.feeds(known.group):
                self._mend(known, found.state, stop)
            if known.stage is not GenerationStage.FILLING:
                continue
            if self._is_made(known.name):
                self._fill(known, stop)
            elif self._node.watch.clock.now() - known.made_at < _NEW:
                self.is_soon = True

    def _fill(self, known: KnownGeneration, stop: threading.Event) -> None:
        node = self._node
        progress = ProgressRecord.of(node.settings, node.store, known.name)
        found = progress.find()
        if found is None or found.refused:
            return
        lease = generation_lease(node, known.name)
        with ExitStack() as held:
            try:
                work = generation_work(node, known, found, held)
            except SightlineError as error:
                _note_trouble(progress, lease, str(error))
                raise
            filling = Reindexing(
                progress, work, lease=lease, clock=node.watch.clock, metrics=node.watch.metrics
            )
            filling.look(stop)

    def _mend(self, known: KnownGeneration, state: ServingState, stop: threading.Event) -> None:
        """Let a generation read what it may lack, while this process feeds it.

        First what the log has, then what that may have forgotten.
        """
        now = self._node.watch.clock.now()
        asked = ReindexProgress(
            generation=known.name,
            by="bytes",
            seeded_from=state.serves.generation,
            asked_at=now,
            step_began_at=now,
            noted_at=now,
        )
        ends = EitherStop(stop, _NotFed(self._serving.fed, known.group))
        with ExitStack() as held:
            work = generation_work(self._node, known, asked, held)
            pace = Pace(None, clock=self._node.watch.clock, stop=ends)
            for _ in chain(work.catch_up(ends), work.replay(pace, ends)):
                pass
        if not ends.is_set():
            self._serving.record.change(lambda state: state.caught_up(known.name))
            _log.info("generation %s is fed again and lacks nothing", known.name)

    def _is_made(self, name: str) -> bool:
        """Whether the generation's worker has made its index, as it does first of all."""
        return self._serving.indexes.generations.spec(name) is not None


def _has_work(state: ServingState) -> bool:
    """Whether a generation is to be filled, or lacks what the log forgot."""
    filling = any(one.stage is GenerationStage.FILLING for one in state.generations)
    return filling or bool(state.behind)


class _NotFed(threading.Event):
    """Is set while this process does not read for a generation: nothing would come to it."""

    def __init__(self, fed: FedGroups, group: str) -> None:
        super().__init__()
        self._fed = fed
        self._group = group

    def is_set(self) -> bool:
        """Whether this process has stopped reading for that generation."""
        return not self._fed.feeds(self._group)


def _note_trouble(progress: ProgressRecord, lease: Lease, says: str) -> None:
    """Let all who look know what keeps the work from beginning, unless another process does it."""
    with suppress(SightlineError):
        if lease.is_free():
            progress.note(lambda asked: asked.model_copy(update={"trouble": says}))
