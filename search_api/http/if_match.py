"""Preconditions of a write, and ETags: an image's ETag is its version, in quotes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fastapi import Request

from sightline.search_api.http.entity_tags import Anything, EntityTags, entity_tags
from sightline.search_api.http.problems import Problem, invalid


class Match(Enum):
    """The value of `If-Match` that stands for any version."""

    ANY = "*"
    """Whatever there is, as long as there is something."""


@dataclass(frozen=True, slots=True)
class Unless:
    """`If-None-Match`: not where the image is at one of these versions, `*` at any."""

    versions: frozenset[str] | Match
    wanted: frozenset[str] | Match | None
    """What `If-Match` says beside it."""


IfMatch = frozenset[str] | Match | Unless | None
"""Versions as text: those that would do; without any, none does."""


def etag(version: int) -> str:
    """Writes a version as an ETag: the number, in quotes."""
    return f'"{version}"'


def if_match(request: Request) -> IfMatch:
    """What the caller believes the image's version to be, or not to be; None: it does not say.

    Raises:
        Problem: 422, a header is neither `*` nor a list of entity tags.
    """
    # RFC 9110: If-Match compares strongly, so a weak tag matches nothing; the other weakly.
    wanted = _read(request, "If-Match")
    barred = _read(request, "If-None-Match")
    named = _versions(wanted, weakly=False)
    unless = _versions(barred, weakly=True)
    return named if unless is None else Unless(unless, named)


def expected(wanted: IfMatch) -> frozenset[str] | Match | None:
    """The versions that `If-Match` allows; None if the request has no such header."""
    return wanted.wanted if isinstance(wanted, Unless) else wanted


def check(wanted: IfMatch, version: int | None) -> None:
    """The image is at a version that the caller believes in.

    Raises:
        Problem: 412, naming the present version in `ETag`.
    """
    if isinstance(wanted, Unless) and _matches(wanted.versions, version):
        raise stale(version, "If-None-Match")
    named = expected(wanted)
    if named is not None and not _matches(named, version):
        raise stale(version)


def stale(version: int | None, header: str = "If-Match") -> Problem:
    """412; the caller may read again and repeat."""
    detail = "there is no such image" if version is None else f"the image is at version {version}"
    headers = {} if version is None else {"ETag": etag(version)}
    return Problem("stale", f"{detail}; read it again and repeat", {"field": header}, headers)


def _matches(versions: frozenset[str] | Match, version: int | None) -> bool:
    return version is not None and (versions is Match.ANY or str(version) in versions)


def _read(request: Request, header: str) -> EntityTags | Anything | None:
    given = request.headers.getlist(header)
    if not given:
        return None
    tags = entity_tags(given)
    if tags is None:
        raise invalid(header, f'{header} is `*` or a version in quotes, like "3"')
    return tags


def _versions(tags: EntityTags | Anything | None, *, weakly: bool) -> frozenset[str] | Match | None:
    if tags is None:
        return None
    if not isinstance(tags, EntityTags):
        return Match.ANY
    return frozenset(tag.strip('"') for tag in (tags.weak if weakly else tags.strong))
