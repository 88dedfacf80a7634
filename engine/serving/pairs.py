"""The pairs that serve: a search takes one, and what replaces it waits for no search."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sightline.engine.errors import NotFound, Part, PartUnavailable
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.values import Experiment
from sightline.engine.serving.variants import Arm, arm_of, variant_of


@dataclass(frozen=True, slots=True, eq=False)
class OpenedPair:
    """A pair, and what lets go of what was opened for it."""

    pair: ServingPair
    close: Callable[[], object]


@dataclass(slots=True, eq=False)
class _Held:
    """An opened pair and how many use it now."""

    opened: OpenedPair
    users: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Answering:
    """What answers those of one arm, and what must stay open for it."""

    pair: ServingPair
    held: tuple[_Held, ...]


class ServingPairs:
    """What serves in this process; safe from several threads.

    Args:
        control: what everybody is answered by who is in no experiment's treatment.
    """

    def __init__(self, control: OpenedPair) -> None:
        self._lock = threading.Lock()
        self._held: tuple[_Held, ...] = (_Held(control),)
        self._outside = _Answering(control.pair, self._held)
        self._arms: dict[Arm, _Answering] = {}
        self._experiment: Experiment | None = None
        self._replaced: list[_Held] = []

    @contextmanager
    def taken(self, actor_id: str | None = None) -> Iterator[ServingPair]:
        """The pair that answers an actor; it stays open until the block ends.

        Args:
            actor_id: who asks; None: nobody in particular, who is in no experiment.
        """
        with self._lock:
            answering = self._of(actor_id)
            for held in answering.held:
                held.users += 1
        with self._using(answering.held):
            yield answering.pair

    @contextmanager
    def both(self) -> Iterator[tuple[str, ServingPair]]:
        """The experiment that runs, and its control with the treatment beside it.

        Raises:
            NotFound: none runs.
        """
        with self._lock:
            if self._experiment is None or not self._arms:
                raise NotFound("no experiment runs (`sightline experiment start`)")
            name, answering = self._experiment.name, self._arms[Arm.INTERLEAVED]
            for held in answering.held:
                held.users += 1
        with self._using(answering.held):
            yield name, answering.pair

    @contextmanager
    def again(self, pair: ServingPair) -> Iterator[ServingPair]:
        """A pair that was taken before, if it is still open.

        Raises:
            PartUnavailable: it was replaced, and is closed.
        """
        with self._lock:
            every = [*self._held, *self._replaced]
            held = next((one for one in every if one.opened.pair.index is pair.index), None)
            if held is None:
                raise PartUnavailable(Part.INDEX, f"generation {pair.spec.name} was replaced")
            held.users += 1
        with self._using((held,)):
            yield pair

    @contextmanager
    def _using(self, every: tuple[_Held, ...]) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                for held in every:
                    held.users -= 1

    def now(self) -> ServingPair:
        """The control pair, for what it says of itself; whoever uses its index takes it."""
        with self._lock:
            return self._outside.pair

    @property
    def experiment(self) -> Experiment | None:
        """The experiment whose treatment is served beside the control."""
        with self._lock:
            return self._experiment

    def exchange(
        self,
        control: OpenedPair,
        treatment: OpenedPair | None = None,
        experiment: Experiment | None = None,
    ) -> None:
        """Serve these from now on; what is used still goes on until its last user has gone."""
        held = tuple(_Held(opened) for opened in (control, treatment) if opened is not None)
        arms = {} if experiment is None or treatment is None else _arms_of(experiment, held)
        with self._lock:
            self._replaced += self._held
            self._held, self._outside = held, _Answering(control.pair, held[:1])
            self._arms, self._experiment = arms, experiment
        self.sweep()

    def sweep(self) -> None:
        """Close what was replaced and nobody uses any more."""
        with self._lock:
            idle = [held for held in self._replaced if not held.users]
            self._replaced = [held for held in self._replaced if held.users]
        for held in idle:
            held.opened.close()

    def close(self) -> None:
        """Close all of them, whoever still uses them; repeated calls do nothing."""
        with self._lock:
            left = [*self._replaced, *self._held]
            self._replaced, self._held = [], ()
        for held in left:
            held.opened.close()

    def _of(self, actor_id: str | None) -> _Answering:
        if self._experiment is None or actor_id is None or not self._arms:
            return self._outside
        return self._arms[arm_of(self._experiment, actor_id)]


def _arms_of(experiment: Experiment, held: tuple[_Held, ...]) -> dict[Arm, _Answering]:
    """What answers in each arm of an experiment: control, treatment, or both on one page.

    A status is read from the control's index. So no arm shows what that hides (docs/adr/0024).
    """
    control, treatment = (each.opened.pair for each in held)

    def named(arm: Arm, pair: ServingPair) -> ServingPair:
        return replace(pair, variant=variant_of(experiment.name, arm))

    if treatment.index is not control.index:
        treatment = replace(treatment, also_hidden_by=control.index)
    both = replace(control, beside=treatment)
    return {
        Arm.CONTROL: _Answering(named(Arm.CONTROL, control), held[:1]),
        Arm.TREATMENT: _Answering(named(Arm.TREATMENT, treatment), held),
        Arm.INTERLEAVED: _Answering(named(Arm.INTERLEAVED, both), held),
    }
