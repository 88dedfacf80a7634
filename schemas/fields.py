"""The bounded field types that every contract is built from."""

from __future__ import annotations

import json
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, NewType

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

MAX_VERSION = 2**53 - 1
"""Vector stores compare ranges as float64 and JavaScript reads no further (docs/images.md)."""
MAX_OWNER_VERSION = 2**52 - 1
"""The most that an owner may count to. What is above is head-room: whatever owners write, a delete
by the operator comes after it (docs/adr/0018). Readers take every version up to `MAX_VERSION`."""
MAX_TAGS = 64
MAX_ATTRIBUTES_BYTES = 4096
MAX_ATTRIBUTES_DEPTH = 32
"""Objects and lists in one another, the outermost counted. JSON readers give up at about 200, and
each wraps attributes in some levels of its own (event, catalogue, form, result): below this bound
none of them can be the first that cannot read what another one accepted (docs/adr/0018)."""
ID_PATTERN = r"^[A-Za-z0-9._~-]{1,128}$"

Id = Annotated[str, Field(pattern=ID_PATTERN)]
"""An identifier: 1-128 characters that need no escaping in a URL, a key or a file name."""
ImageId = Id
"""An image's id as readers take it. `..` fits the released contract, so no reader may fail; who
names an image checks `NamedImage`."""
OwnerId = Id
ActorId = Id
SearchId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,512}$")]
"""A sealed search id: longer than an id, since it carries what it authorises."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PerceptualHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A 256-bit dHash, 64 hex digits."""
Version = Annotated[int, Field(strict=True, ge=0, le=MAX_VERSION)]
OwnerVersion = Annotated[int, Field(strict=True, ge=0, le=MAX_OWNER_VERSION)]
"""A version as an owner may write it: an upload's or a change's."""
Tag = Annotated[str, Field(strict=True, min_length=1, max_length=64)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)]
Time = AwareDatetime
"""An instant with its zone, RFC 3339."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
UnitInterval = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

TopicName = NewType("TopicName", str)


class Visibility(StrEnum):
    """Who may see an image; what is not said is private."""

    PUBLIC = "public"
    PRIVATE = "private"


class Moderation(StrEnum):
    """What moderation decided; blocked hides an image whatever its visibility."""

    ALLOWED = "allowed"
    BLOCKED = "blocked"


class Conclusion(StrEnum):
    """What an experiment has found, so far or at its end."""

    VOID = "void"
    """The draw was not as planned: nothing of it can be believed."""
    INCOMPLETE = "incomplete"
    """The log does not hold its beginning any more."""
    TOO_LITTLE = "too_little"
    """More actors are needed to tell."""
    BETTER = "better"
    """The treatment is."""
    WORSE = "worse"
    EQUAL = "equal"
    """Any difference is smaller than what is worth telling apart."""


class Contract(BaseModel):
    """Base of every contract: frozen, strict where known, deaf to unknown fields.

    The docstring under a field is its description in the JSON Schema and on the topic's page.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


def _addressable(image_id: str) -> str:
    if image_id in {".", ".."}:
        raise ValueError("'.' and '..' are no image ids: no URL and no S3 key can hold them")
    return image_id


AddressableId = Annotated[ImageId, AfterValidator(_addressable)]
"""An image id that its URL and its objects' keys can hold: every id but `.` and `..`."""


class OwnersCount(Contract):
    """Checks a version before an owner's write has it. Raises `ValidationError`."""

    version: OwnerVersion
    """The version that the owner gives the write."""


class OwnersDelete(Contract):
    """Checks the version of an owner's delete, which may come after the last of its writes."""

    version: Annotated[int, Field(strict=True, ge=0, le=MAX_OWNER_VERSION + 1)]
    """The version that the owner gives the delete."""


class NamedImage(Contract):
    """Checks an id before an image gets it. Raises `ValidationError` that names `image_id`."""

    image_id: AddressableId
    """The image."""


def is_deeper_than(document: object, bound: int) -> bool:
    """Whether objects and lists nest deeper; level by level, so that no depth ends the stack."""
    level = [document]
    for _ in range(bound):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, _NESTS)]
        if not level:
            return False
    return True


_NESTS = (dict, list, tuple)


def _inside(outer: object) -> Collection[object]:
    if isinstance(outer, dict):
        return outer.values()
    return outer if isinstance(outer, list | tuple) else ()


_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _bounded(attributes: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if not attributes:
        return attributes  # as most: every result of a search is read through here
    if is_deeper_than(attributes, MAX_ATTRIBUTES_DEPTH):
        raise ValueError(f"attributes nest deeper than {MAX_ATTRIBUTES_DEPTH} levels")
    size = len(_COMPACT.encode(attributes).encode())
    if size > MAX_ATTRIBUTES_BYTES:
        raise ValueError(f"attributes are {size} bytes of JSON, {MAX_ATTRIBUTES_BYTES} at most")
    return attributes


Attributes = Annotated[
    dict[str, JsonValue],
    AfterValidator(_bounded),
    Field(
        json_schema_extra={
            "x-max-bytes": MAX_ATTRIBUTES_BYTES,
            "x-max-depth": MAX_ATTRIBUTES_DEPTH,
        }
    ),
]
"""Opaque to us, returned with results: at most 4 KiB of JSON, at most 32 levels deep."""
