"""JSON text in, plain values out; refuses text that two readers would read differently."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str) -> Any:
    """Parses one JSON text.

    Raises:
        ValueError: no JSON, a key that an object has twice, `NaN` or `Infinity`, a number of
            thousands of digits, or nested too deep to read.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {doubled[:80]!r} is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")
