"""Settings in, the generations of their index out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sightline.engine.vector_index.edge.origin import IndexOrigin, check_origin

if TYPE_CHECKING:
    from sightline.engine.ports import VectorIndex
    from sightline.engine.settings import Settings
    from sightline.engine.vector_index.generations import Generations


def generations_of(settings: Settings, log_identity: Callable[[], str]) -> Generations[VectorIndex]:
    """The generations of the settings' index, on a Qdrant server or in a directory of ours.

    Raises:
        OriginMismatch: the directory was made from another log or bucket.
    """
    if settings.index.url is None:
        check_origin(settings.index_directory, origin_of(settings, log_identity))
    return index_generations(settings)


def index_generations(settings: Settings) -> Generations[VectorIndex]:
    """The same, for who only asks what each was made with."""
    if settings.index.url is not None:
        from sightline.engine.vector_index.qdrant.index import QdrantGenerations  # noqa: PLC0415 - extra

        return QdrantGenerations.of(settings.index)
    from sightline.engine.vector_index.edge.index import EdgeGenerations  # noqa: PLC0415 - extra

    return EdgeGenerations(settings.index_directory, settings.index)


def origin_of(settings: Settings, log_identity: Callable[[], str]) -> IndexOrigin:
    """What an embedded index directory was made from: this log, and this bucket."""
    return IndexOrigin(log=log_identity(), bucket=settings.store.bucket)
