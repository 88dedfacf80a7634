"""Settings in, the object store with the label data out, for as long as one command takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    store = open_object_store(settings)
    try:
        yield store
    finally:
        store.close()
