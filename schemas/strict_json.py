"""JSON text in, plain values out; refuses text that two readers would read differently."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

MAX_TOLD_CHARS = 80
"""Characters of a key that a message repeats."""


class DoubledKey(ValueError):
    """An object has a key twice.

    Args:
        key: which.
    """

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key[:MAX_TOLD_CHARS]!r} is there twice")
        self.key = key


def loads(text: str) -> Any:
    """Parses one JSON text.

    Raises:
        DoubledKey: an object has a key twice.
        ValueError: no JSON, `NaN` or `Infinity`, a number of thousands of digits, or nested too
            deep to read.
    """
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(name for name, _ in pairs)
        raise DoubledKey(next(name for name in found if times[name] > 1))
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
