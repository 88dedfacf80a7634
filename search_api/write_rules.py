"""What a caller may write, and what stands against it: 403, 409 and 428, decided here alone."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.engine.settings import Scope
from sightline.engine.visible import Caller
from sightline.schemas.fields import Moderation
from sightline.schemas.images import Authority
from sightline.search_api.preconditions import IfMatch, etag
from sightline.search_api.problems import Problem
from sightline.search_api.request_fields import ImageFields
from sightline.search_api.standing import Standing


def allowed(fields: ImageFields, caller: Caller) -> ImageFields:
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


def refuse_other_authority(standing: Standing, version: int | None) -> None:
    """409: one authority counts an image's versions; backfill (version 0) has fixed none."""
    authority = standing.state.authority
    if authority is Authority.OWNER and version is None:
        raise _conflict("you count this image's versions: send one", standing)
    if authority is Authority.SIGHTLINE and version is not None:
        raise _conflict("Sightline counts this image's versions: send none, use If-Match", standing)


def refuse_lower(standing: Standing, version: int | None) -> None:
    """409 for a version below the present one."""
    if version is not None and version < standing.version:
        raise _conflict(f"version {version} is below version {standing.version}", standing)


def owner_counts(standing: Standing, version: int | None) -> bool:
    """Also from now on, where a backfilled image's owner begins to count."""
    return standing.state.authority is Authority.OWNER or version is not None


def next_version(standing: Standing, version: int | None, wanted: IfMatch) -> int:
    """The owner's next version; 428 without `If-Match`, 409 unless it is higher."""
    if wanted is None:
        raise Problem("precondition-required", "say with If-Match which version you change")
    if version is None or version <= standing.version:
        raise _conflict(f"version must be above {standing.version}", standing)
    return version


def _conflict(detail: str, standing: Standing) -> Problem:
    facts = {"field": "version", "version": standing.version}
    return Problem("version-conflict", detail, facts, {"ETag": etag(standing.version)})
