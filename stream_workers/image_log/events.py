"""A record of an image topic to the image event in it, or the reason why it holds none."""

from __future__ import annotations

from pydantic import ValidationError

from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.fields import NamedImage
from sightline.schemas.images import ImageState
from sightline.schemas.registry import decode


def read_image_event(message: Message) -> Event[ImageState]:
    """Return the image event that a record of an image topic holds.

    Raises:
        ContractError: it breaks the contract, is no image event, its key is not its image id
            (compaction would then keep or drop the wrong ones), or no URL can hold its image id.
    """
    event = decode(message.value)
    if not isinstance(event.data, ImageState):
        raise ContractError("type", f"{event.type} is not an image event")
    check_image_id(message, event.data.image_id)
    return event


def check_image_id(message: Message, image_id: str) -> None:
    """The record's key is the image id of its event, and a URL can hold it.

    Raises:
        ContractError: it is not, or none can.
    """
    if message.key != image_id.encode():
        raise ContractError("key", "the record's key is not the event's image_id")
    try:
        NamedImage(image_id=image_id)
    except ValidationError as error:
        raise ContractError("data.image_id", ContractError.of(error).reason) from error
