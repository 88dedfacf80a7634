"""The settings tree in, `docs/settings.md` out: name, variable, type, default, meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from sightline.engine.settings import CONFIG_VARIABLE, DEFAULT_CONFIG, NONE_WORD, Section, Settings

HEAD = f"""<!-- Generated from engine/settings/*.py by `make golden`; edit the docstrings there. -->

# Settings

Later wins: the defaults below, one TOML file (the one that `{CONFIG_VARIABLE}` names, else
`{DEFAULT_CONFIG}` where the process starts), environment variables. A value that is out of bounds
or a name that does not exist refuses to start and says which. Lists and tables in a variable are
JSON; `{NONE_WORD}` in a variable is nothing, where a setting may be nothing. Secrets are never
printed or logged. `sightline doctor` checks what they lead to.

```toml
mode = "services"

[kafka]
bootstrap_servers = "kafka-1:9093,kafka-2:9093"
security_protocol = "SASL_SSL"
sasl_mechanism = "SCRAM-SHA-512"
sasl_username = "sightline"        # the password: SIGHTLINE_KAFKA__SASL_PASSWORD
create_topics = false              # a platform team owns them
topic_prefix = "search."

[store]
endpoint = "s3.eu-central-1.amazonaws.com"
region = "eu-central-1"
tls = true                         # no access_key: the machine's role

[index]
url = "https://qdrant.internal:6333"   # the key: SIGHTLINE_INDEX__API_KEY
```
"""


def settings_page() -> str:
    """Builds the page: one table for each section of the settings."""
    general = [(name, info) for name, info in Settings.model_fields.items() if not _section(info)]
    parts = [HEAD, "## General", "", *_table("", general)]
    for name, info in Settings.model_fields.items():
        section = _section(info)
        if section is not None:
            fields = list(section.model_fields.items())
            parts += ["", f"## [{name}]", "", _about(section), "", *_table(name, fields)]
            parts += _lists(fields)
    return "\n".join([*parts, ""])


def _section(info: FieldInfo) -> type[Section] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _about(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip()


def _table(section: str, fields: list[tuple[str, FieldInfo]]) -> Iterator[str]:
    yield "| setting | variable | type | default | meaning |"
    yield "|---|---|---|---|---|"
    for name, info in fields:
        yield (
            f"| `{name}` | `{variable(section, name)}` | {_type(info)} | {_default(info)} "
            f"| {_meaning(info)} |"
        )


def _lists(fields: list[tuple[str, FieldInfo]]) -> Iterator[str]:
    """Tables of the entries of settings that are lists of tables."""
    for name, info in fields:
        entry = next((a for a in get_args(info.annotation) if _is_section(a)), None)
        if entry is not None:
            yield from ["", f"Each entry of `{name}`: {_about(entry)}", ""]
            yield "| field | type | default | meaning |"
            yield "|---|---|---|---|"
            for field, inner in entry.model_fields.items():
                yield f"| `{field}` | {_type(inner)} | {_default(inner)} | {_meaning(inner)} |"


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def variable(section: str, name: str) -> str:
    """Names the environment variable that sets a setting."""
    path = f"{section}__{name}" if section else name
    return f"SIGHTLINE_{path}".upper()


def _meaning(info: FieldInfo) -> str:
    return " ".join((info.description or "").split()).replace("|", "\\|")


def _default(info: FieldInfo) -> str:
    value = info.default
    if info.is_required():
        return "required"
    if value is None:
        return "none"
    if isinstance(value, Path | Enum):
        value = value.value if isinstance(value, Enum) else value.as_posix()
    return f"`{json.dumps(value)}`"


def _type(info: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(part, name):,}"
        for part in info.metadata
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if getattr(part, name, None) is not None
    ]
    return ", ".join([_kind(info.annotation), *bounds]).replace("|", "\\|")


def _kind(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in arguments if part is not NoneType)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    return _plain_kind(kind)


def _plain_kind(kind: type) -> str:
    if issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    names: dict[type, str] = {
        SecretStr: "secret",
        Path: "path",
        str: "text",
        bool: "true or false",
        int: "integer",
        float: "number",
    }
    return "table" if issubclass(kind, Section) else names.get(kind, kind.__name__)
