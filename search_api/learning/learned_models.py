"""A model's name and digest in, how it was learned out: what the registry has of it, and no error.

Nothing of a model changes once it is registered, so what was read is kept. What is missing, damaged
or out of reach is left out, and looked for again after a while: who shows it does without.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sightline.engine.embedding.model_registry import (
    LINEAGE,
    METRICS,
    ModelReference,
    ModelRegistry,
)
from sightline.engine.errors import SightlineError
from sightline.engine.ports import Clock
from sightline.schemas.fields import MAX_VERSION
from sightline.schemas.models import ModelReleased

AGAIN_S = 60.0
"""What was not there is looked for again after so long."""
COUNTS = ("triples", "pairs", "anchors", "judgements")
"""What of a training's record says how much taught the model."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """How a model was learned, as far as that is known."""

    release: ModelReleased | None = None
    """None: it is no release, or nobody can say."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many triples, pairs, anchors and judgements taught it."""
    strength: float | None = None
    """How far its head was moved, 0-1."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was measured of it before its release."""
    before: Mapping[str, float] = field(default_factory=dict)
    """The same of the model that it was compared with, measured before that one's own release."""


class LearnedModels:
    """Reads the registry once for each model; safe from several threads.

    Args:
        registry: of the deployment.
        clock: says when what failed is tried again.
    """

    def __init__(self, registry: ModelRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._known: dict[ModelReference, tuple[Learned, float]] = {}
        self._lock = threading.Lock()

    def of(self, model: ModelReference) -> Learned:
        """How a model was learned; what cannot be read is left out.

        Args:
            model: with its digest.
        """
        learned, again_at_s = self._known.get(model, (Learned(), 0.0))
        if self._clock.monotonic() < again_at_s or not self._lock.acquire(blocking=False):
            return learned  # a store that hangs holds up one caller, not all who ask meanwhile
        try:
            reading = _Reading(self._registry, model.name, model.digest or "")
            learned = reading.learned()
            again_at_s = self._clock.monotonic() + AGAIN_S if reading.failed else math.inf
            self._known[model] = learned, again_at_s
        finally:
            self._lock.release()
        return learned


class _Reading:
    """One look at a model, which notes whether anything was missing."""

    def __init__(self, registry: ModelRegistry, name: str, digest: str) -> None:
        self._registry = registry
        self._name = name
        self._digest = digest
        self.failed = False

    def learned(self) -> Learned:
        """Reads everything, and leaves out what cannot be read."""
        release = self._try(self._release)
        lineage = self._try(lambda: self._document(self._digest, LINEAGE)) or {}
        against = None if release is None else release.against
        return Learned(
            release=release,
            counts=_counts(lineage.get("run")),
            strength=_number(lineage.get("strength")),
            metrics=_figures(self._try(lambda: self._document(self._digest, METRICS))),
            before=_figures(
                None if against is None else self._try(lambda: self._document(against, METRICS))
            ),
        )

    def _release(self) -> ModelReleased | None:
        """Finds the last release of the digest, if there is one."""
        releases = (event.data for event in self._registry.releases(self._name))
        return next((each for each in reversed([*releases]) if each.digest == self._digest), None)

    def _document(self, digest: str, file: str) -> dict[str, Any]:
        config = self._registry.config(self._name, digest)
        document = json.loads(self._registry.file(self._name, digest, config, file))
        return document if isinstance(document, dict) else {}

    def _try(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (SightlineError, ValueError, RecursionError) as error:
            self.failed = True
            _log.info("not everything of model %s can be told: %s", self._name, error)
            return None


def _counts(run: object) -> dict[str, int]:
    counted = run.get("counted") if isinstance(run, dict) else None
    if not isinstance(counted, dict):
        return {}
    return {
        name: counted[name]
        for name in COUNTS
        if type(counted.get(name)) is int and 0 <= counted[name] <= MAX_VERSION
    }


def _figures(document: Mapping[str, Any] | None) -> dict[str, float]:
    numbers = ((name, _number(value)) for name, value in (document or {}).items())
    told = ((name, number) for name, number in numbers if name.isprintable())
    return {name: number for name, number in told if number is not None}


def _number(value: object) -> float | None:
    with suppress(OverflowError):  # a whole number that no float holds
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    return None
