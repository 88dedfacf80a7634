"""One release of a model in, a line for a person out."""

from __future__ import annotations

from sightline.schemas.envelope import Event
from sightline.schemas.models import ModelReleased


def release_line(event: Event[ModelReleased]) -> str:
    """Name, digest and number, when it was released, and whether rules or a person decided."""
    data = event.data
    why = f"{len(data.gate)} rules" if data.gate else "by hand"
    when = f"{data.released_at:%Y-%m-%d %H:%M}"
    return f"{data.name}@{data.digest}  release {data.number}  {when}  {why}"
