"""Text that a pattern of the contracts matches, for property-based tests."""

from __future__ import annotations

import re
from functools import cache

from hypothesis import strategies as st

PART = re.compile(r"(\[[^]]+\])(?:\{(\d+)(?:,(\d+))?\})?")
"""A class of ASCII letters, and how many of them."""


@cache
def matching(pattern: str) -> st.SearchStrategy[str]:
    """Draw text of one class of letters after the other, as `from_regex` does.

    That makes a choice for each letter, and another one for whether it was the last: five times the
    time.
    """
    bare = pattern.removeprefix("^").removesuffix("$")
    parts = [*PART.finditer(bare)]
    assert "".join(part[0] for part in parts) == bare, f"{pattern} has more than classes of letters"
    return st.tuples(*map(_text_of, parts)).map("".join)


def _text_of(part: re.Match[str]) -> st.SearchStrategy[str]:
    letters, least, most = part.groups(default="")
    alphabet = [letter for letter in map(chr, range(128)) if re.fullmatch(letters, letter)]
    return st.text(alphabet, min_size=int(least or 1), max_size=int(most or least or 1))
