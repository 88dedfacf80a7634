"""`If-Match` and `If-None-Match` in, the entity tags that they name out (RFC 9110, 8.8.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

_TAG = r'"[\x21\x23-\x7e\x80-\xff]*"'
# An element may be empty, and is then ignored (RFC 9110, 5.6.1). Blanks are never given back: else
# a header of blanks alone would cost their square.
_ELEMENT = rf"[ \t]*+(?:(?:W/)?{_TAG}[ \t]*+)?"
_TAGS = re.compile(rf"{_ELEMENT}(?:,{_ELEMENT})*")
_ONE = re.compile(rf"(W/)?({_TAG})")


@dataclass(frozen=True, slots=True)
class EntityTags:
    """The tags of a list, in their quotes."""

    strong: frozenset[str]
    """Those that are strong: what a strong comparison may match."""
    weak: frozenset[str]
    """All of them, without `W/`: what a weak comparison may match."""


class Anything(Enum):
    """`*`: whatever there is, as long as there is something."""

    ANY = "*"


ANY: Final = Anything.ANY


def entity_tags(lines: Iterable[str]) -> EntityTags | Anything | None:
    """What the header's lines name together; None: they are neither `*` nor a list of tags."""
    text = ", ".join(lines).strip(" \t")
    if text == "*":
        return ANY
    found = _ONE.findall(text) if _TAGS.fullmatch(text) else ()
    if not found:
        return None
    return EntityTags(
        strong=frozenset(tag for weak, tag in found if not weak),
        weak=frozenset(tag for _, tag in found),
    )
