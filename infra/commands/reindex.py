"""What `sightline reindex` does: asks for a generation of a model, and looks how far it is.

A process that has the indexes open does the work (`infra/processes/reindex_loop.py`), so that the
command is the same embedded and on servers, and may be ended without ending the work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_log
from sightline.engine.connecting.generations import index_generations
from sightline.engine.connecting.open_models import OpenModels, generation_spec
from sightline.engine.embedding.model_registry import ModelReference, ModelRegistry
from sightline.engine.errors import Conflict, NotFound, SettingsInvalid
from sightline.engine.ports import Clock, Embedder, EventLog, ObjectStore
from sightline.engine.records import GenerationSpec
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.settings import Settings
from sightline.stream_workers.image_log.groups import generation_groups
from sightline.stream_workers.reindexing.offsets import begin_groups
from sightline.stream_workers.reindexing.progress import (
    FillingStep,
    ProgressRecord,
    ReindexProgress,
)
from sightline.stream_workers.reindexing.reprojection import can_reproject

By = Literal["features", "bytes"]
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A model that is to have a generation, and how that is to be filled."""

    model: str
    """`NAME` for its newest release, or `NAME@DIGEST`."""
    by: By | None = None
    """None: by features where they serve, else by bytes."""
    rate_per_s: float | None = None
    without_missing: bool = False
    """Whether it may serve without the images whose bytes are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGeneration:
    """A model, and the generation that it makes of the pictures."""

    model: str
    """`NAME@DIGEST`."""
    spec: GenerationSpec
    embedder: Embedder


class ReindexCommands:
    """Asks for re-indexes of one deployment, and looks at them.

    Args:
        settings: the process's.
        store: of these settings, open.
        log: of these settings; None: it is opened where it is needed.
        clock: stamps what is asked for.
        models: that are open already; None: this opens its own.
    """

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        *,
        log: EventLog | None = None,
        clock: Clock | None = None,
        models: OpenModels | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._record = ServingRecord.of(settings, store)
        self._models = models or OpenModels(settings)
        self._log = log
        self._clock = clock or SystemClock()

    def ask(self, wish: Wish) -> ReindexProgress:
        """Let a generation be filled: a new one, or one that did not pass; else say how far it is.

        Raises:
            NotFound: there is no such model, or nothing serves yet.
            Conflict: one may serve that was filled in another way, or whose comparison is lost.
            SettingsInvalid: it is to be filled by features, and they do not serve.
            RefusedToStart: embedded mode, and nothing runs.
            PartUnavailable: broker, store or index did not answer; a repeat is safe.
        """
        state = self._record.read().state
        made = self.made(wish.model)
        known = _find(state, made.spec.name)
        record = ProgressRecord.of(self._settings, self._store, made.spec.name)
        found = record.find()
        if known is not None and known.may_serve:
            if found is not None and found.parity and wish.by in (None, found.by):
                return found
            raise Conflict(
                f"generation {known.name} of {made.model} is there and may serve: "
                f"`sightline switch {known.name}`"
            )
        if known is not None and found is not None and _goes_on(found, wish, state):
            return _at_rate(record, found, wish.rate_per_s)
        source = state.serving
        by = known.by if known is not None and known.by else self._by(wish, source, made)
        asked = self._progress(made, source, by, wish)
        if known is None:
            self._begin(made, source, by)
        record.ask(asked)
        if known is None:
            self._add(made, source, by)
        return asked

    def watch(
        self, generation: str, stop: threading.Event, *, every_s: float = LOOK_EVERY_S
    ) -> Iterator[ReindexProgress]:
        """How far it is, again and again, until it may serve or was refused.

        Raises:
            NotFound: it was dropped meanwhile.
            PartUnavailable: the store did not answer.
        """
        record = ProgressRecord.of(self._settings, self._store, generation)
        while not stop.wait(every_s):
            found = record.find()
            if found is None:
                raise NotFound(f"generation {generation} was dropped meanwhile")
            yield found
            known = self._record.read().state.generation(generation)
            if found.refused or known.may_serve:
                return

    def made(self, text: str) -> ModelGeneration:
        """A model of the registry, and the generation that it makes of the pictures.

        Raises:
            NotFound: there is no such model.
            SettingsInvalid: it cannot be run here.
            PartUnavailable: the store did not answer.
        """
        wanted = ModelReference.parse(text)
        digest = ModelRegistry(self._store, self._settings.store.bucket).digest(wanted)
        reference = str(ModelReference(wanted.name, digest))
        embedder = self._models.embedder(reference)
        return ModelGeneration(
            model=reference,
            spec=generation_spec(self._settings, embedder),
            embedder=embedder,
        )

    def _by(self, wish: Wish, source: KnownGeneration, made: ModelGeneration) -> By:
        """By features where the serving generation keeps those of the model's network."""
        stored = index_generations(self._settings).spec(source.name)
        can = stored is not None and can_reproject(stored, made.embedder.features_digest)
        if wish.by == "features" and not can:
            kept = None if stored is None else stored.features_digest
            has = "no features" if kept is None else f"features of another network ({kept})"
            raise SettingsInvalid(
                f"generation {source.name} keeps {has}, and {made.model} needs those of "
                f"{made.embedder.features_digest}: leave --by out, or say --by bytes"
            )
        return wish.by or ("features" if can else "bytes")

    def _progress(
        self, made: ModelGeneration, source: KnownGeneration, by: By, wish: Wish
    ) -> ReindexProgress:
        now = self._clock.now()
        return ReindexProgress(
            generation=made.spec.name,
            by=by,
            seeded_from=source.name,
            rate_per_s=wish.rate_per_s,
            without_missing=wish.without_missing,
            asked_at=now,
            step=FillingStep.WAIT,
            step_began_at=now,
            noted_at=now,
        )

    def _begin(self, made: ModelGeneration, source: KnownGeneration, by: By) -> None:
        """Before anybody is in the new groups: what they read first follows from it."""
        old = generation_groups(source.group) if by == "features" else None
        begin_groups(
            self._log or open_event_log(self._settings),
            generation_groups(self._group(made)),
            seeded_from=old,
        )

    def _add(self, made: ModelGeneration, source: KnownGeneration, by: By) -> None:
        new = KnownGeneration(
            name=made.spec.name,
            model=made.model,
            model_digest=made.spec.model_digest,
            group=self._group(made),
            stage=GenerationStage.FILLING,
            made_at=self._clock.now(),
            seeded_from=source.name if by == "features" else None,
            by=by,
        )
        reason = f"re-index by {by} with {made.model}"
        now = self._clock.now()
        self._record.change(lambda state: state.with_generation(new, now, reason))

    def _group(self, made: ModelGeneration) -> str:
        return f"{self._settings.worker.group}-{made.spec.name}"


def _goes_on(progress: ReindexProgress, wish: Wish, state: ServingState) -> bool:
    """Whether it needs nobody to ask again: not refused, and its source not dropped since.

    Nor does anybody agree to go without images who did not before.
    """
    agreed = progress.without_missing or not wish.without_missing
    return agreed and not progress.refused and _find(state, progress.seeded_from) is not None


def _at_rate(
    record: ProgressRecord, found: ReindexProgress, rate_per_s: float | None
) -> ReindexProgress:
    """The same work at another rate, which whoever does it reads soon; None: at the rate it has."""
    if rate_per_s in (None, found.rate_per_s):
        return found
    return record.note(lambda noted: noted.model_copy(update={"rate_per_s": rate_per_s}))


def _find(state: ServingState, name: str) -> KnownGeneration | None:
    return next((known for known in state.generations if known.name == name), None)
