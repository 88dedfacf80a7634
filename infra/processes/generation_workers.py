"""A worker and a moderation loop for each generation: begun and ended as the record changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from sightline.engine.connecting.open_models import generation_spec
from sightline.engine.errors import DeadLetterLimit, SightlineError
from sightline.engine.looking import Obstacle
from sightline.engine.ports import Embedder
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.serving.who_is_told import Voice, forget_gauges
from sightline.infra.processes.unread_events import look_for_unread
from sightline.infra.supervision.loops import Loop, run_together
from sightline.infra.wiring.generations import FedGeneration, index_worker, moderation_loop
from sightline.infra.wiring.node import Node
from sightline.stream_workers.reindexing.progress import ProgressRecord

_log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""After a failure, a generation that serves nobody is tried again so much later."""


@dataclass(kw_only=True)
class _Feeding:
    """The thread that feeds a generation, and how it ended."""

    voice: Voice
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    failure: BaseException | None = None
    again_at_s: float = 0.0
    stopped: bool = False
    """Whether a loop of it met too many dead letters, and stopped alone."""
    noted: bool = False
    """Whether the record says that it is behind."""

    @property
    def has_ended(self) -> bool:
        return self.thread is not None and not self.thread.is_alive()

    @property
    def is_buried(self) -> bool:
        return self.has_ended and isinstance(self.failure, DeadLetterLimit)

    @property
    def is_fed(self) -> bool:
        return self.thread is not None and not self.has_ended and not self.stopped


class GenerationWorkers:
    """Feeds every generation of the record, in one process that has the index.

    Args:
        node: its parts.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._serving = node.serving
        self._etag: str | None = None
        self._look_again = False
        """Whether the same record has left something to do."""
        self._obstacle = Obstacle(_log, "cannot follow which generations there are")
        self._state = node.serving.opened_for.state
        self._feeding: dict[str, _Feeding] = {}

    def run(self, stop: threading.Event) -> None:
        """Follow the record until `stop`; then let each of them finish what is under way.

        Raises:
            DeadLetterLimit: a loop of a generation met too many; raised at the end, or once nothing
                is fed any more.
            SightlineError: what serves cannot be fed.
        """
        try:
            self._keep_going(stop)
        finally:
            self._end(list(self._feeding.values()))
        for one in self._feeding.values():
            if one.failure is not None:
                raise one.failure

    def _keep_going(self, stop: threading.Event) -> None:
        watched, every_s = self._serving.watched, self._node.settings.rollout.look_every_s
        while True:
            seen = watched.changes
            self._begin()
            if watched.wait(seen, every_s, stop):
                return
            self._look_after()
            if all(one.is_buried for one in self._feeding.values()):
                return
            self._look()

    def _look(self) -> None:
        """Read the record where it changed; what is fed goes on while it cannot be read."""
        try:
            etag = self._serving.watched.etag()
            if etag == self._etag and not self._look_again:
                return
            found = self._serving.watched.find()
            if found is None:
                return
            self._look_again = False
            self._follow(found.state)
            self._etag = found.etag
        except Exception as error:  # noqa: BLE001 - indexing goes on, whatever the record says
            self._look_again = True
            self._obstacle.met(error)
        else:
            self._obstacle.passed()

    def _count(self, state: ServingState) -> None:
        for stage in GenerationStage:
            many = sum(one.stage is stage for one in state.generations)
            self._node.watch.metrics.generations.labels(stage.value).set(many)

    def _follow(self, state: ServingState) -> None:
        self._count(state)
        known = {one.name for one in state.generations}
        for name, feeding in self._feeding.items():
            if name in known:
                feeding.voice.follow(state)
        if state.in_service != self._state.in_service:
            forget_gauges(self._node.watch.metrics)
        self._state = state
        self._end([one for name, one in self._feeding.items() if name not in known])
        self._feeding = {name: one for name, one in self._feeding.items() if name in known}
        self._tell_groups()
        self._let_the_index_say_it(state)
        for name in state.dropping:
            self._remove(name)

    def _let_the_index_say_it(self, state: ServingState) -> None:
        """The alias, or the `current` file, names what serves."""
        generations = self._serving.indexes.generations
        if generations.current() != state.serving.name:
            generations.switch(state.serving.name)

    def _remove(self, name: str) -> None:
        """Remove a dropped generation, unless searches of this process still end on it."""
        if name in self._serving.indexes.names():
            self._look_again = True
            return
        if name not in self._serving.record.read().state.dropping:
            return  # another process has removed it; by now there may be a new one of that name
        self._serving.indexes.generations.remove(name)
        ProgressRecord.of(self._node.settings, self._node.store, name).forget()
        self._serving.matrices.forget(name)
        self._serving.record.change(lambda state: state.removed(name))
        _log.info("removed generation %s", name)

    def _begin(self) -> None:
        now_s = self._node.watch.clock.monotonic()
        for known in self._state.generations:
            feeding = self._feeding.get(known.name)
            if feeding is None:
                feeding = _Feeding(voice=Voice(known.name, self._state))
                self._feeding[known.name] = feeding
            if feeding.thread is None and now_s >= feeding.again_at_s:
                feeding.thread = threading.Thread(
                    target=self._feed, args=(known, feeding), name=f"generation-{known.name}"
                )
                feeding.thread.start()
        self._tell_groups()

    def _feed(self, known: KnownGeneration, feeding: _Feeding) -> None:
        try:
            embedder = self._serving.models.embedder(known.model)
            self._make(known, embedder)
            look_for_unread(self._node, known)
            with self._serving.indexes.held(known.name) as index:
                fed = FedGeneration(
                    known=known, index=index, embedder=embedder, voice=feeding.voice
                )
                loops: dict[str, Loop] = {
                    "worker": index_worker(self._node, fed).run,
                    "moderation": moderation_loop(self._node, fed).run,
                }
                run_together(loops, feeding.stop, stopped=partial(self._stopped, feeding, fed))
        except BaseException as error:  # noqa: BLE001 - raised by `run`, or tried again
            feeding.failure = error

    def _make(self, known: KnownGeneration, embedder: Embedder) -> None:
        """Make the index of a generation that the record names and nobody has begun."""
        generations = self._serving.indexes.generations
        if known.stage is GenerationStage.FILLING and generations.spec(known.name) is None:
            generations.create(generation_spec(self._node.settings, embedder, known.name))

    def _stopped(self, feeding: _Feeding, fed: FedGeneration, loop: str, reason: str) -> None:
        feeding.stopped = True
        name = loop if fed.voice.serves else f"{loop} of {fed.known.name}"
        self._node.watch.health.stop(name, reason)
        self._node.watch.metrics.loops_stopped.labels(name).set(1)

    def _look_after(self) -> None:
        """Raise what ended the feeding of what serves; try the others again, later.

        What met too many dead letters stays away: it would meet them again.
        """
        for name, feeding in self._feeding.items():
            if not feeding.is_fed and feeding.thread and not feeding.voice.serves:
                feeding.noted = feeding.noted or self._note_behind(name)
                if not feeding.noted:
                    continue
            if not feeding.has_ended or feeding.is_buried:
                continue
            if feeding.voice.serves:
                raise feeding.failure or AssertionError(f"generation {name} is fed no longer")
            _log.error("generation %s is not fed for now: %s", name, feeding.failure)
            feeding.thread, feeding.failure = None, None
            feeding.stopped = feeding.noted = False
            feeding.again_at_s = self._node.watch.clock.monotonic() + AGAIN_S

    def _note_behind(self, name: str) -> bool:
        """Keep it from serving until it is fed again and lacks nothing; whether that is noted."""
        try:
            self._serving.record.change(lambda state: state.left_behind(name))
        except SightlineError as error:
            _log.warning("cannot note that generation %s is behind: %s", name, error)
            return False
        return True

    def _tell_groups(self) -> None:
        away = [name for name, one in self._feeding.items() if not one.is_fed]
        self._serving.fed.follow(self._state, away=away)

    def _end(self, feeding: Sequence[_Feeding]) -> None:
        for one in feeding:
            one.stop.set()
        for one in feeding:
            if one.thread is not None:
                one.thread.join()
