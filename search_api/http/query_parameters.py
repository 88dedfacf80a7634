"""Query parameters, read as strictly as bodies: none given twice, whole numbers in digits."""

from __future__ import annotations

import re

from fastapi import Request
from pydantic import BeforeValidator

from sightline.search_api.http.problems import invalid
from sightline.search_api.http.validation_words import WHOLE_NUMBER

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_MAX_TOLD_CHARS = 128


def refuse_doubled(request: Request) -> None:
    """422 where a parameter is there twice: which of them counts, readers disagree about."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            told = name[:_MAX_TOLD_CHARS]
            raise invalid(told, f"{told} is given more than once")
        seen.add(name)


def _in_digits(value: object) -> object:
    """Without what pydantic reads as a number besides: `1.0`, `1_000`, digits of other scripts."""
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) is None:
        raise ValueError(WHOLE_NUMBER)
    return value


InDigits = BeforeValidator(_in_digits)
"""In the annotation of a whole number: its text must be digits."""
