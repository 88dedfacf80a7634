"""The pairs that serve: a search takes one, and what replaces it waits for no search."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.ports import Embedder, VectorIndex
from sightline.engine.serving.assignment import is_treated
from sightline.engine.serving.pair import DEFAULT_VARIANT, ServingPair
from sightline.engine.serving.record import Experiment

CONTROL, TREATMENT = "control", "treatment"


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


class ServingPairs:
    """What serves in this process; safe from several threads.

    Args:
        control: what everybody is answered by who is in no experiment's treatment.
    """

    def __init__(self, control: OpenedPair) -> None:
        self._lock = threading.Lock()
        self._control = _Held(control)
        self._treatment: _Held | None = None
        self._experiment: Experiment | None = None
        self._replaced: list[_Held] = []

    @classmethod
    def fixed(
        cls, embedder: Embedder, index: VectorIndex, *, variant: str = DEFAULT_VARIANT
    ) -> ServingPairs:
        """One pair for good, whose index is the caller's to close."""
        pair = ServingPair(embedder=embedder, index=index, spec=index.spec, variant=variant)
        return cls(OpenedPair(pair, lambda: None))

    @contextmanager
    def taken(self, actor_id: str | None = None) -> Iterator[ServingPair]:
        """The pair that answers an actor; it stays open until the block ends.

        Args:
            actor_id: who asks; None: nobody in particular, who is in no experiment.
        """
        with self._lock:
            held = self._of(actor_id)
            held.users += 1
        with self._using(held):
            yield held.opened.pair

    @contextmanager
    def again(self, pair: ServingPair) -> Iterator[ServingPair]:
        """A pair that was taken before, if it is still open.

        Raises:
            PartUnavailable: it was replaced, and is closed.
        """
        with self._lock:
            every = [self._control, self._treatment, *self._replaced]
            held = next((one for one in every if one and one.opened.pair is pair), None)
            if held is None:
                raise PartUnavailable(Part.INDEX, f"generation {pair.spec.name} was replaced")
            held.users += 1
        with self._using(held):
            yield pair

    @contextmanager
    def _using(self, held: _Held) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                held.users -= 1

    def now(self) -> ServingPair:
        """The control pair, for what it says of itself; whoever uses its index takes it."""
        with self._lock:
            return self._control.opened.pair

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
        if experiment is not None:
            control = _arm(control, experiment, CONTROL)
            treatment = None if treatment is None else _arm(treatment, experiment, TREATMENT)
        with self._lock:
            self._replaced += [h for h in (self._control, self._treatment) if h is not None]
            self._control = _Held(control)
            self._treatment = None if treatment is None else _Held(treatment)
            self._experiment = experiment
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
            left = [*self._replaced, self._control, self._treatment]
            self._replaced, self._treatment = [], None
            self._control = _Held(replace(self._control.opened, close=lambda: None))
        for held in left:
            if held is not None:
                held.opened.close()

    def _of(self, actor_id: str | None) -> _Held:
        treatment, experiment = self._treatment, self._experiment
        if treatment is None or experiment is None or actor_id is None:
            return self._control
        return treatment if is_treated(experiment, actor_id) else self._control


def _arm(opened: OpenedPair, experiment: Experiment, arm: str) -> OpenedPair:
    pair = replace(opened.pair, variant=f"{experiment.name}.{arm}")
    return replace(opened, pair=pair)
