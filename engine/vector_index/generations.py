"""Generations of the index: which one serves, and that no other model opens it (docs/adr/0007).

A generation is one full index made by one model. Readers and writers open the *current* one; a
new model fills another beside it, and `switch` makes that the current one in one atomic step.
"""

from __future__ import annotations

import re
from typing import Protocol, TypeVar

from sightline.engine.errors import GenerationMismatch, SettingsInvalid
from sightline.engine.ports import Embedder, VectorIndex
from sightline.engine.records import GenerationSpec

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_MUST_EQUAL = ("model_digest", "preprocess_digest", "dimensions", "distance", "quantisation")

Index_co = TypeVar("Index_co", bound=VectorIndex, covariant=True)


class Generations(Protocol[Index_co]):
    """The generations of one deployment, in one store."""

    def current(self) -> str | None:
        """Name of the generation that serves; None before the first. Raises `PartUnavailable`."""

    def names(self) -> list[str]:
        """All that exist, by name. Raises `PartUnavailable`."""

    def spec(self, name: str) -> GenerationSpec | None:
        """What the generation records; None if there is no such one."""

    def create(self, spec: GenerationSpec) -> None:
        """Make it, empty. A repeat finishes what a crash left half made."""

    def open(self, name: str) -> Index_co:
        """Open an existing one. Raises `IndexOwned`, `PartUnavailable`."""

    def switch(self, name: str) -> None:
        """Let this one serve from now on, atomically. A repeat does nothing."""

    def remove(self, name: str) -> None:
        """Delete one that does not serve; an unknown name is fine."""

    def close(self) -> None:
        """Let go of connections; what was opened stays open. Repeated calls do nothing."""


def open_serving(generations: Generations[Index_co], spec: GenerationSpec) -> Index_co:
    """Open the generation that serves, making the first one from `spec`.

    Raises:
        GenerationMismatch: the one that serves was made by another model or geometry.
        IndexOwned: another process owns it (embedded only).
        PartUnavailable: the store did not answer.
    """
    return generations.open(serving_name(generations, spec))


def serving_name(generations: Generations[VectorIndex], spec: GenerationSpec) -> str:
    """The name of the generation that serves, which is made from `spec` where there is none.

    Raises:
        GenerationMismatch: the one that serves was made by another model or geometry.
        PartUnavailable: the store did not answer.
    """
    name = generations.current()
    if name is None:
        check_name(spec.name)
        generations.create(spec)
        generations.switch(spec.name)
        name = spec.name
    stored = generations.spec(name)
    if stored is None:
        raise GenerationMismatch(
            f"index: the generation {name!r} that should serve is incomplete; restore it from a "
            "backup, or use another index directory or `index.collection_prefix` and fill it with "
            "`sightline reconcile`"
        )
    check_same_space(stored, spec)
    return name


def check_same_space(stored: GenerationSpec, wanted: GenerationSpec) -> None:
    """Refuse to mix two vector spaces.

    Raises:
        GenerationMismatch: the message names each field that differs.
    """
    differing = [
        f"{name} is {getattr(stored, name)!r}, not {getattr(wanted, name)!r}"
        for name in _MUST_EQUAL
        if getattr(stored, name) != getattr(wanted, name)
    ]
    if differing:
        raise GenerationMismatch(
            f"index generation {stored.name!r} was made by another model: {'; '.join(differing)}; "
            "go back to the settings that made it, or use another index directory or "
            "`index.collection_prefix` and fill it with `sightline reconcile`"
        )


def refuse_other_model(stored: GenerationSpec, embedder: Embedder) -> None:
    """One vector space at a time: what was indexed and what is embedded must be comparable.

    Raises:
        GenerationMismatch: the generation was made by another model.
    """
    if (stored.model_digest, stored.dimensions) != (embedder.digest, embedder.dimensions):
        raise GenerationMismatch(
            f"generation {stored.name} was made by model {stored.model_digest} with "
            f"{stored.dimensions} dimensions, the settings name {embedder.digest} with "
            f"{embedder.dimensions}: set embedder.* to that model, or make a new generation by "
            "re-indexing"
        )


def check_name(name: str) -> str:
    """The name, fit for a directory and a collection. Raises `SettingsInvalid`."""
    if not _NAME.fullmatch(name):
        raise SettingsInvalid(f"generation name {name!r}: 1-64 letters, digits, dots, dashes")
    return name
