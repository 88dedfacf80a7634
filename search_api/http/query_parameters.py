"""Query parameters as strict as bodies: none twice, numbers in digits, times by RFC 3339."""

from __future__ import annotations

import re

from fastapi import Request
from pydantic import BeforeValidator

from sightline.search_api.http.problems import invalid
from sightline.search_api.http.validation_words import INSTANT, NUMBER, WHOLE_NUMBER

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_MAX_TOLD_CHARS = 128


def refuse_doubled(request: Request) -> None:
    """422 where a parameter is there twice: which of them counts, readers disagree about."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            told = name[:_MAX_TOLD_CHARS]
            raise invalid(told, f"{told} is given more than once")
        seen.add(name)


def _written(pattern: re.Pattern[str], words: str) -> BeforeValidator:
    """Refuse text of another form: pydantic takes more of them, each for something."""

    def checked(value: object) -> object:
        if isinstance(value, str) and pattern.fullmatch(value) is None:
            raise ValueError(words)
        return value

    return BeforeValidator(checked)


InDigits = _written(_WHOLE_NUMBER, WHOLE_NUMBER)
"""In the annotation of a whole number: without `1.0`, `1_000` and digits of other scripts."""
InDecimals = _written(_NUMBER, NUMBER)
"""In the annotation of a number: without `1_0`, `1e1` and `.5`."""
InRfc3339 = _written(_RFC_3339, INSTANT)
"""In the annotation of a time: without `20261101`, which pydantic takes for seconds since 1970."""
