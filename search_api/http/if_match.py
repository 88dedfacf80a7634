"""Preconditions of a write, and ETags: an image's ETag is its version, in quotes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fastapi import Request

from sightline.search_api.http.entity_tags import Anything, EntityTags, entity_tags
from sightline.search_api.http.problems import Problem, invalid


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The ETags that a write demands, and those that bar it; None: the header was not sent."""

    wanted: EntityTags | Anything | None = None
    """`If-Match`: only where the image has one of these; `*`: where there is an image."""
    barred: EntityTags | Anything | None = None
    """`If-None-Match`: not where the image has one of these; `*`: where there is none."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Reads both headers of a request.

        Raises:
            Problem: 422, a header is neither `*` nor a list of entity tags.
        """
        return cls(_read(request, "If-Match"), _read(request, "If-None-Match"))

    def check(self, version: int | None, *, of: str = "image") -> None:
        """Refuse an image at a version that the caller bars or does not name; None: no image.

        Args:
            version: the present one.
            of: what is at it, in a word for the caller.

        Raises:
            Problem: 412, naming the present version in `ETag`.
        """
        # RFC 9110: If-Match compares strongly, so a weak tag matches nothing; the other weakly.
        if self.barred is not None and _matches(self.barred, version, weakly=True):
            raise _stale(version, "If-None-Match", of)
        if self.wanted is not None and not _matches(self.wanted, version, weakly=False):
            raise _stale(version, "If-Match", of)


ANY_VERSION = IfMatch()
"""What a write demands that says nothing of versions."""


def etag(version: int) -> str:
    """Writes a version as an ETag: the number, in quotes."""
    return f'"{version}"'


def refuse_condition(request: Request) -> None:
    """412 for a request that is to be carried out only at a version of what has none.

    RFC 9110, 13.1.1: no method is carried out whose `If-Match` does not hold, whatever it does.
    """
    if "if-match" in request.headers:
        detail = "what you ask of here has no versions; send it without If-Match"
        raise Problem("stale", detail, {"field": "If-Match"})


def _stale(version: int | None, header: str, of: str) -> Problem:
    """412; the caller may read again and repeat."""
    detail = f"there is no such {of}" if version is None else f"the {of} is at version {version}"
    headers = {} if version is None else {"ETag": etag(version)}
    return Problem("stale", f"{detail}; read it again and repeat", {"field": header}, headers)


def _matches(tags: EntityTags | Anything, version: int | None, *, weakly: bool) -> bool:
    if version is None or not isinstance(tags, EntityTags):
        return version is not None
    return etag(version) in (tags.weak if weakly else tags.strong)


def _read(request: Request, header: str) -> EntityTags | Anything | None:
    given = request.headers.getlist(header)
    if not given:
        return None
    tags = entity_tags(given)
    if tags is None:
        raise invalid(header, f'{header} is `*` or a version in quotes, like "3"')
    return tags
