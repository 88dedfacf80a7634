"""Whose image it is, and what a write is built on: asked first, and again as it is written."""

from __future__ import annotations

from functools import partial

from sightline.engine.errors import NotFound
from sightline.engine.object_store.entries import Origin
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.terms import Permit
from sightline.schemas.images import ImageState
from sightline.search_api.http.if_match import IfMatch
from sightline.search_api.images.known_image import KnownImage


def permit_of(image_id: str, caller: Caller, wanted: IfMatch) -> Permit:
    """Refuses what the caller may not write, or does not want to write, on top of a state.

    Looked at again at the moment of the write: another process may have been faster.
    """
    return partial(_permit, image_id, caller, wanted)


def changeable(image_id: str, known: KnownImage | None, caller: Caller) -> KnownImage:
    """The image, if the caller may change it; else NotFound, as if there were none."""
    if known is None or not caller.may_change(known.state.owner_id):
        raise NotFound(f"no image {image_id} that you may change")
    return known


def noted_origin(caller: Caller) -> Origin | None:
    """Who brings an image into being, where that is to be noted: an admin."""
    return Origin.ADMIN if Scope.ADMIN in caller.scopes else None


def _permit(image_id: str, caller: Caller, wanted: IfMatch, state: ImageState | None) -> None:
    if state is not None and not caller.may_change(state.owner_id):
        wanted.check(None)
        raise NotFound(f"no image {image_id} that you may see")
    wanted.check(None if state is None else state.version)
