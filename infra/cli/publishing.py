"""What the commands share that publish images: whom they speak for, and who may see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sightline.engine.connecting.connections import owner_headers
from sightline.engine.connecting.owner import find_owner
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.settings import Settings
from sightline.infra.commands.index_through_owner import known_through
from sightline.producers.connect import connect
from sightline.producers.images.catalogue_writes import Known
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility

SOURCE = "/sightline/cli"

VisibilityOption = Annotated[
    Visibility | None, typer.Option(help="Who may see the pictures; there is no default.")
]


@contextmanager
def publishing_here(
    settings: Settings, *, threads: int = 1
) -> Iterator[tuple[ImagePublisher, CataloguedImages, Known | None]]:
    """What publishes images, and what the owner of the index knows of them, if one runs here.

    Args:
        settings: where store, log and owner are.
        threads: how many ask the owner at once.
    """
    running = find_owner(settings.data_directory)
    with connect(settings, source=SOURCE) as publisher:
        catalogue = Catalogue(publisher.store, publisher.bucket)
        if running is None:
            yield publisher, CataloguedImages(catalogue, publisher), None
        else:
            known = known_through(running.url, owner_headers(settings), threads=threads)
            yield publisher, CataloguedImages(catalogue, publisher, known=known), known
