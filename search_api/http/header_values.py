"""A header's value with parameters in, its parts out (RFC 9110, section 5.6.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLANK = b" \t"
_PARAMETER = re.compile(rb';[ \t]*([^\s;="]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s;"]*)[ \t]*')
_ESCAPED = re.compile(rb"\\(.)")


@dataclass(frozen=True, slots=True)
class HeaderValue:
    """What a header says before its first semicolon, and its parameters; names in lower case."""

    main: bytes
    """In lower case."""
    parameters: dict[bytes, bytes]


def header_value(raw: bytes) -> HeaderValue:
    """Read `text/plain; charset="utf-8"` and the like.

    Raises:
        ValueError: it cannot be read, or names a parameter twice.
    """
    main, semicolon, rest = raw.partition(b";")
    text, parameters = (semicolon + rest).rstrip(_BLANK + b";"), dict[bytes, bytes]()
    at = 0
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            raise ValueError("a parameter cannot be read")
        name, value = found.group(1).lower(), _unquoted(found.group(2))
        if name in parameters:
            raise ValueError("a parameter is given twice")
        parameters[name] = value
        at = found.end()
    return HeaderValue(main.strip(_BLANK).lower(), parameters)


def _unquoted(value: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", value[1:-1]) if value[:1] == b'"' else value
