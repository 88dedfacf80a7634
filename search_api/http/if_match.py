"""`If-Match` and ETags: an image's ETag is its version, in quotes."""

from __future__ import annotations

import re
from enum import Enum

from fastapi import Request

from sightline.search_api.http.problems import Problem, invalid


class Match(Enum):
    """`If-Match` values that are no version."""

    ANY = "*"
    """Whatever there is, as long as there is something."""


IfMatch = frozenset[str] | Match | None
"""Versions as text: those that would do; without any, none does."""
_TAG = r'"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"(?:W/)?{_TAG}(?:[ \t]*,[ \t]*(?:W/)?{_TAG})*")
_STRONG = re.compile(rf"(W/)?({_TAG})")


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def if_match(request: Request) -> IfMatch:
    """What the caller believes the image's version to be; None: it does not say.

    Raises:
        Problem: 422, the header is neither `*` nor a list of entity tags.
    """
    given = request.headers.getlist("if-match")
    if not given:
        return None
    text = ", ".join(given).strip()
    if text == "*":
        return Match.ANY
    if _TAGS.fullmatch(text) is None:
        raise invalid("If-Match", 'If-Match is `*` or a version in quotes, like "3"')
    # RFC 9110: If-Match compares strongly, so a weak tag matches nothing.
    return frozenset(tag.strip('"') for weak, tag in _STRONG.findall(text) if not weak)


def check(wanted: IfMatch, version: int | None) -> None:
    """The image is at the version that the caller believes in.

    Raises:
        Problem: 412, naming the present version in `ETag`.
    """
    if wanted is None:
        return
    if version is None or not (wanted is Match.ANY or str(version) in wanted):
        raise stale(version)


def stale(version: int | None) -> Problem:
    """412; the caller may read again and repeat."""
    detail = "there is no such image" if version is None else f"the image is at version {version}"
    headers = {} if version is None else {"ETag": etag(version)}
    return Problem("stale", f"{detail}; read it again and repeat", {"field": "If-Match"}, headers)
