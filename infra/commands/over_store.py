"""Settings in, the object store of the deployment out, for as long as one command takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Self

from sightline.engine.connecting.connections import object_directory, open_object_store
from sightline.engine.errors import RefusedToStart
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings


@contextmanager
def opened_store(settings: Settings) -> Iterator[ObjectStore]:
    """Open the store, and close it afterwards.

    Raises:
        RefusedToStart: the store is a directory that no process has made yet.
    """
    directory = object_directory(settings)
    if directory is not None and not (directory / settings.store.bucket).is_dir():
        raise RefusedToStart(
            f"{directory} holds nothing yet: `sightline up --detach` fills it, and triples "
            "come of searches and clicks"
        )
    with closing(open_object_store(settings)) as store:
        yield store


class OverStore(ABC):
    """What a command works on, over the object store of one deployment."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def of(cls, settings: Settings, store: ObjectStore) -> Self:
        """Over a store of these settings that is open already."""

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """Over the store of the settings, which is closed afterwards; raises as `opened_store`."""
        with opened_store(settings) as store:
            yield cls.of(settings, store)
