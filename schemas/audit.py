"""Who acted as an operator, and who was refused."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import ImageId, Time


class Decision(StrEnum):
    """Whether a request was carried out for an operator, or refused."""

    ACTED = "acted"
    """An operator's key asked, and was answered; or a command was carried out."""
    REFUSED = "refused"
    """No valid key, not allowed with this key, or too often."""


class AccessRecorded(EventData):
    """An operator acted, or somebody was refused; further ones alike follow once a minute."""

    TYPE: ClassVar[str] = "sightline.access.recorded.v1"
    SUBJECT: ClassVar[str] = "who"

    decision: Decision
    """What became of it."""
    who: Annotated[str, Field(min_length=1, max_length=128)]
    """`key NAME`, `shell USER` of a command, or where no known key was shown
    `address 192.0.2.7`, of IPv6 `address 2001:db8:0:1::/64`; the Kafka key."""
    address: Annotated[str, Field(max_length=64)]
    """Where the first of the requests came from, as the API saw it; a command's host."""
    action: Annotated[str, Field(min_length=1, max_length=128)]
    """Method and route, such as `DELETE /v1/images/{image_id}`, or `sightline switch g-2`."""
    image_id: ImageId | None = None
    """The image, where an operator's request named one."""
    status: Annotated[int, Field(strict=True, ge=100, le=599)]
    """The HTTP status that the request was answered with; 200 for a command."""
    count: Annotated[int, Field(strict=True, ge=1)]
    """How many requests this record stands for, beyond those of earlier records."""
    first_at: Time
    """When the first of the counted requests came."""
    last_at: Time
    """When the last of the counted requests came."""
