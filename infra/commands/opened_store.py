"""Settings in, the object store of the deployment out, for as long as one command takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

from sightline.engine.connecting.connections import object_directory, open_object_store
from sightline.engine.errors import RefusedToStart
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings

T = TypeVar("T")


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


@contextmanager
def over_store(of: Callable[[Settings, ObjectStore], T], settings: Settings) -> Iterator[T]:
    """What a command works on, over the store of the settings; raises as `opened_store`.

    Args:
        of: makes it, of the settings and the store that is open by then.
        settings: of the deployment.
    """
    with opened_store(settings) as store:
        yield of(settings, store)
