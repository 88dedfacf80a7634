"""One canonical example of each event type, for the golden files, the docs and the tests."""

from __future__ import annotations

from typing import Any

from sightline.schemas.documents.examples_images import IMAGE_EXAMPLES, NOON
from sightline.schemas.documents.examples_labels import LABEL_EXAMPLES
from sightline.schemas.documents.examples_models import MODEL_EXAMPLES
from sightline.schemas.envelope import Event

_BY_TYPE = {data.TYPE: data for data in IMAGE_EXAMPLES + LABEL_EXAMPLES + MODEL_EXAMPLES}


def example(event_type: str) -> Event[Any]:
    """The canonical example of an event type; always the same bytes.

    Raises:
        KeyError: that type has none: add it to the `examples_….py` of its area.
    """
    data = _BY_TYPE[event_type]
    name = event_type.removeprefix("sightline.").rpartition(".")[0].replace(".", "-")
    event: Event[Any] = Event[type(data)].of(  # type: ignore[misc]
        data, event_id=f"example-{name}", source="urn:example:platform", time=NOON
    )
    return event
