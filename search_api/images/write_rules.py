"""What a caller may write, and what stands against it: 403, 409 and 428, decided here alone."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.engine.errors import IdReserved
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.ids import refuse_derived
from sightline.schemas.fields import MAX_VERSION, Moderation
from sightline.schemas.images import Authority, ImageState, ObjectReference
from sightline.search_api.http.if_match import IfMatch, etag
from sightline.search_api.http.problems import Problem, invalid
from sightline.search_api.http.request_fields import ImageFields
from sightline.search_api.images.known_image import KnownImage


def fields_of_caller(fields: ImageFields, caller: Caller) -> ImageFields:
    """The fields with the caller's own owner filled in; 403 for what only an admin may say."""
    if Scope.ADMIN in caller.scopes:
        return fields
    if fields.moderation is not Moderation.ALLOWED:
        raise Problem("forbidden", "only an admin key moderates", {"field": "moderation"})
    if fields.owner_id not in (None, caller.owner_id):
        raise Problem("forbidden", "that is not your owner id", {"field": "owner_id"})
    return fields.model_copy(update={"owner_id": caller.owner_id})


def refuse_admin_fields(changes: Mapping[str, object], caller: Caller) -> None:
    """403 for what only an admin key changes."""
    if Scope.ADMIN in caller.scopes:
        return
    for name in ("moderation", "owner_id"):
        if name in changes:
            raise Problem("forbidden", f"only an admin key changes {name}", {"field": name})


def refuse_other_authority(
    known: KnownImage, version: int | None, *, send: str = "send `version`"
) -> None:
    """409: one authority counts an image's versions; backfill (version 0) has fixed none.

    Args:
        known: the image.
        version: what the caller says.
        send: how this request would say it.
    """
    authority = known.state.authority
    if authority is Authority.OWNER and version is None:
        detail = f"you count this image's versions: {send} above {known.version}"
        raise _conflict(detail, known)
    if authority is Authority.SIGHTLINE and version is not None:
        raise _conflict("Sightline counts this image's versions: send none, use If-Match", known)


def refuse_known(known: KnownImage, said: ImageFields, new: ObjectReference) -> None:
    """409 for a version below the present one, and for the present one unless it is a repeat.

    Two contents of one version would end by the tie-break, so that the caller could not know
    which of them it had published.
    """
    if said.version is None or said.version > known.version:
        return
    if said.version < known.version:
        raise _conflict(f"version {said.version} is below version {known.version}", known)
    if not _repeats(known.state, said, new):
        detail = f"version {said.version} has other content: send one above {said.version}"
        raise _conflict(detail, known)


def refuse_superseded(published: ImageState, known: KnownImage) -> None:
    """409 where another event of the version that was published here has won the tie.

    Our checks cannot see what another process, or the owner's own service, publishes meanwhile.
    """
    applied = known.applied
    if applied is None or published.authority is not Authority.OWNER:
        return
    won = applied.state
    if won.version == published.version and won.model_dump() != published.model_dump():
        detail = f"another write of version {won.version} came in between and won"
        raise _conflict(detail, known)


def owner_counts(known: KnownImage, version: int | None) -> bool:
    """Whether the owner counts versions, or begins to by sending one for a backfilled image."""
    return known.state.authority is Authority.OWNER or version is not None


def next_version(
    known: KnownImage, version: int | None, wanted: IfMatch, caller: Caller, most: int
) -> int:
    """The owner's next version.

    Raises:
        Problem: 428 without `If-Match`, 409 unless it is higher, 422 above `most`: what is above is
            the operator's (docs/adr/0018).
    """
    if wanted.wanted is None:
        raise Problem("precondition-required", "say with If-Match which version you change")
    if version is None or version <= known.version:
        raise _conflict(f"version must be above {known.version}", known)
    if version > most and Scope.ADMIN not in caller.scopes:
        raise invalid("version", f"version must be at most {most}")
    return version


def operators_version(known: KnownImage, version: int | None) -> int:
    """The version of an admin's delete, which always goes through.

    At the highest version there is, it is that: among equal versions a delete hides most.
    """
    above = min(known.version + 1, MAX_VERSION)
    return above if version is None else max(version, above)


def refuse_derived_id(image_id: str) -> None:
    """403 for an upload under an id that a file, an object or a query may have (docs/images.md)."""
    try:
        refuse_derived(image_id)
    except IdReserved as error:
        raise Problem("forbidden", str(error), {"field": "image_id"}) from None


def _repeats(state: ImageState, said: ImageFields, new: ObjectReference) -> bool:
    if state.authority is not Authority.OWNER or state.object is None:
        return False
    if state.object.sha256 != new.sha256:
        return False
    names = ImageFields.model_fields.keys() - {"moderation"}  # it is no part of what an owner says
    return all(getattr(state, name) == getattr(said, name) for name in names)


def _conflict(detail: str, known: KnownImage) -> Problem:
    facts = {"field": "version", "version": known.version}
    return Problem("version-conflict", detail, facts, {"ETag": etag(known.version)})
