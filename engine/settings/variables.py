"""Which `SIGHTLINE_…` variables exist: a misspelt one must not be silently nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from pydantic import BaseModel
from pydantic_settings import BaseSettings

PREFIX = "SIGHTLINE_"
NOT_SETTINGS = frozenset(
    PREFIX + name
    for name in (
        "CONFIG",  # the file of settings
        "CACHE",  # where tools are kept
        "CHROMIUM",  # for the tests of the page
        "TRACE_KEY",  # of `sightline trace`
        "TEST_DATA",  # of the tests
        "TEST_PATIENCE",
        "TEST_PHOTOS",
        "API_KEYS",  # of infra/.env, which compose turns into settings
        "SIGNING_SECRET",
    )
)
# Kubernetes tells each pod of every service like this, also of one called sightline.
_SERVICE_LINK = re.compile(r"SERVICE_HOST$|SERVICE_PORT(_\w+)?$|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
_LINKED_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def variables_of(settings: type[BaseSettings]) -> Iterator[str]:
    """Every variable that is read: of sections whole and of each of their settings."""
    for name, info in settings.model_fields.items():
        yield PREFIX + name.upper()
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{PREFIX}{name}__{inner}".upper() for inner in kind.model_fields)


def unknown_variable(settings: type[BaseSettings], environment: Mapping[str, str]) -> str | None:
    """A sentence on the first variable of ours that nothing reads; None: there is none."""
    known = {*variables_of(settings), *NOT_SETTINGS}
    for name, value in sorted(environment.items()):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or _is_service_link(upper, value):
            continue
        close = difflib.get_close_matches(upper, sorted(known), n=1, cutoff=0.8)
        meant = f"; did you mean {close[0]}?" if close else ""
        return f"variable {name} is no setting{meant} (see docs/settings.md)"
    return None


def _is_service_link(name: str, value: str) -> bool:
    if _SERVICE_LINK.search(name) is not None:
        return True
    # Without an address in it, SIGHTLINE_API_PORT is a misspelling.
    return name.endswith("_PORT") and _LINKED_ADDRESS.match(value) is not None
