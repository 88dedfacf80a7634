"""Pydantic's complaints in, words of this API out: what callers read says nothing of pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sightline.schemas.fields import ID_PATTERN

NUMBER, WHOLE_NUMBER = "must be a number", "must be a whole number"
YES_OR_NO = "must be true or false"
LIST, OBJECT, TEXT = "must be a list", "must be a JSON object", "must be text"
INSTANT = "must be a time with its zone, like 2026-11-01T00:00:00Z"

WORDS: Mapping[str, str] = {
    "extra_forbidden": "unknown field",
    "missing": "is missing",
    "string_type": TEXT,
    "string_unicode": "must be UTF-8",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length}, not {actual_length}",
    "too_long": "must have at most {max_length}, not {actual_length}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "int_type": WHOLE_NUMBER,
    "int_parsing": WHOLE_NUMBER,
    "int_parsing_size": WHOLE_NUMBER + " of fewer digits",
    "int_from_float": WHOLE_NUMBER,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": NUMBER,
    "bool_type": YES_OR_NO,
    "bool_parsing": YES_OR_NO,
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "tuple_type": LIST,
    "list_type": LIST,
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "timezone_aware": INSTANT,
    "datetime_type": INSTANT,
    "datetime_parsing": INSTANT,
    "datetime_from_date_parsing": INSTANT,
    "datetime_object_invalid": INSTANT,
    "value_error": "{error}",
}
"""By pydantic's error type; in braces, what pydantic knows of it."""
PATTERNS: Mapping[str, str] = {
    ID_PATTERN: "must be 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -",
    r"^[A-Za-z0-9._~-]{1,512}$": "must be as the search answered it",
    r"^[A-Z]{2}$": "must be two capital letters",
}
"""By pattern, where there are words for it."""
NONE: Mapping[str, str] = MappingProxyType({})


def words_for(error: Mapping[str, Any], hints: Mapping[str, str] = NONE) -> str:
    """What is wrong with one field, without its name.

    Args:
        error: one of pydantic's `errors()`.
        hints: what else to say of unknown fields, by name.
    """
    kind, facts = error["type"], error.get("ctx", {})
    if kind == "string_pattern_mismatch" and facts["pattern"] in PATTERNS:
        return PATTERNS[facts["pattern"]]
    said = WORDS[kind].format(**facts) if kind in WORDS else str(error["msg"])
    hint = hints.get(str(error["loc"][-1])) if kind == "extra_forbidden" else None
    return said if hint is None else f"{said}; {hint}"
