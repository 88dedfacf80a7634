"""What `sightline promote` does: a released model serves at once, then on vectors of its own.

At once where a generation has them, or where a matrix on the query ranks those of the model that
serves as it does (docs/adr/0029); else its generation is filled first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sightline.engine.connecting.index_and_model import matrix_of
from sightline.engine.connecting.open_models import OpenModels
from sightline.engine.embedding.model_registry import ModelReference, ModelRegistry
from sightline.engine.embedding.query_matrix import NotLinear
from sightline.engine.errors import Conflict
from sightline.engine.ports import ObjectStore
from sightline.engine.serving.kept_matrices import KeptMatrices
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.settings import Settings
from sightline.infra.commands.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """Which model was to serve, and what does after the attempt."""

    model: str
    """`NAME@DIGEST`."""
    state: ServingState
    """What serves now."""
    obstacle: str | None = None
    """Why no matrix on the query ranks as the model does; None: one serves, or its own vectors."""

    @property
    def is_whole(self) -> bool:
        """Whether the model serves on vectors of its own, so that nothing is left to do."""
        return self.state.serving.model == self.model and self.state.serves.query_model is None


@dataclass(frozen=True, slots=True, eq=False)
class Promotion:
    """Lets models of the registry serve in one deployment.

    Args:
        rollout: changes what serves.
        registry: has the models.
        models: opens them.
        matrices: keeps those on the query for the processes that answer.
    """

    rollout: Rollout
    registry: ModelRegistry
    models: OpenModels
    matrices: KeptMatrices

    @classmethod
    def of(cls, settings: Settings, store: ObjectStore) -> Self:
        """Over a store of these settings that is open already."""
        registry = ModelRegistry(store, settings.store.bucket)
        matrices = KeptMatrices.of(settings, store)
        return cls(Rollout.of(settings, store), registry, OpenModels(settings), matrices)

    def begin(self, text: str, reason: str) -> Promoted:
        """Let a model serve at once, as far as that goes; a repeat changes nothing.

        By its own vectors where a generation has them and may serve, else by a matrix on the query.

        Args:
            text: `NAME` for its newest release, or `NAME@DIGEST`.
            reason: for those who look later.

        Raises:
            NotFound: there is no such model, or nothing serves yet.
            Conflict: an experiment runs.
            SettingsInvalid: the model cannot be run here.
            PartUnavailable: the store did not answer.
        """
        wanted = ModelReference.parse(text)
        model = str(ModelReference(wanted.name, self.registry.digest(wanted)))
        obstacle: str | None = None

        def first_step(state: ServingState) -> Serves | None:
            nonlocal obstacle
            to, obstacle = self._first_step(state, model)
            return to

        state = self.rollout.switch(first_step, reason)
        return Promoted(model=model, state=state, obstacle=obstacle)

    def finish(self, begun: Promoted, reason: str) -> ServingState | None:
        """Let the model serve on vectors of its own; None: it has no generation yet that may.

        Raises:
            Conflict: something else serves than what the first step left, or an experiment runs.
            NotFound, Unreadable, PartUnavailable: as `ServingRecord.read`.
        """
        generation: str | None = None

        def second_step(state: ServingState) -> Serves | None:
            nonlocal generation
            generation = _own(state, begun.model)
            if generation is None:
                return None
            if state.serves != begun.state.serves:
                raise Conflict(
                    f"something else serves than when {begun.model} was promoted: generation "
                    f"{generation} is ready and waits (`sightline switch {generation}`)"
                )
            return Serves(generation=generation)

        state = self.rollout.switch(second_step, reason)
        return None if generation is None else state

    def _first_step(self, state: ServingState, model: str) -> tuple[Serves | None, str | None]:
        """What may serve at once, or why nothing may."""
        own = _own(state, model)
        if own is not None:
            return Serves(generation=own), None
        found = matrix_of(self.matrices, self.models, state.serving, model)
        if isinstance(found, NotLinear):
            return None, found.reason
        return Serves(generation=state.serves.generation, query_model=model), None


def _own(state: ServingState, model: str) -> str | None:
    """The newest generation of a model that may serve."""
    every = [one.name for one in state.generations if one.model == model and one.may_serve]
    return every[-1] if every else None
