"""`If-Match` and ETags: an image's ETag is its version, in quotes."""

from __future__ import annotations

from enum import Enum

from fastapi import Request

from sightline.schemas.fields import MAX_VERSION
from sightline.search_api.problems import Problem, invalid


class Match(Enum):
    """`If-Match` values that are no version."""

    ANY = "*"
    """Whatever there is, as long as there is something."""


IfMatch = int | Match | None
NEVER = -1
"""A well-formed ETag that is none of ours: it matches nothing."""


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def if_match(request: Request) -> IfMatch:
    """What the caller believes the image's version to be; None: it does not say.

    Raises:
        Problem: 422, the header is no entity tag.
    """
    given = request.headers.get("if-match")
    if given is None:
        return None
    text = given.strip()
    if text == "*":
        return Match.ANY
    # RFC 9110: If-Match compares strongly, so a weak tag matches nothing.
    if text.startswith('W/"') and text.endswith('"'):
        return NEVER
    if len(text) < len('""') or text[0] != '"' or text[-1] != '"':
        raise invalid("If-Match", 'If-Match is `*` or one version in quotes, like "3"')
    inner = text[1:-1]
    known = inner.isascii() and inner.isdigit() and len(inner) <= len(str(MAX_VERSION))
    return int(inner) if known else NEVER


def check(wanted: IfMatch, version: int | None) -> None:
    """The image is at the version that the caller believes in.

    Raises:
        Problem: 412, naming the present version in `ETag`.
    """
    if wanted is None or (version is not None and wanted in (Match.ANY, version)):
        return
    raise stale(version)


def stale(version: int | None) -> Problem:
    """412; the caller may read again and repeat."""
    detail = "there is no such image" if version is None else f"the image is at version {version}"
    headers = {} if version is None else {"ETag": etag(version)}
    return Problem("stale", f"{detail}; read it again and repeat", {"field": "If-Match"}, headers)
