"""Image ids where the caller gives none, and ids of events (docs/images.md)."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from hashlib import sha256

from sightline.engine.errors import IdReserved

_HEX_DIGITS = 32
_DERIVED = re.compile(rf"(?:f|s3|q)-[0-9a-f]{{{_HEX_DIGITS}}}")
_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_MILLISECONDS = 2**48 - 1


def id_of_file(relative_path: str) -> str:
    """Derives the id of a file's image from its path in the folder, parts joined by `/`."""
    return "f-" + _digest(relative_path)


def id_of_object(bucket: str, key: str) -> str:
    """Derives the id of a stored object's image: a notification and a backfill give the same."""
    return "s3-" + _digest(f"{bucket}\0{key}")


def is_derived(image_id: str) -> bool:
    """Whether an id has the form of one that is derived: of a file, an object or a query."""
    return _DERIVED.fullmatch(image_id) is not None


def refuse_derived(image_id: str) -> None:
    """Derived ids can be computed by everybody, and belong to who derives them (docs/images.md).

    Raises:
        IdReserved: the id has the form of a derived one.
    """
    if is_derived(image_id):
        raise IdReserved(
            f"image id {image_id}: ids of this form are derived from files, objects and queries; "
            "choose another one"
        )


def new_id() -> str:
    """A UUIDv7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 & _MILLISECONDS
    bits = milliseconds << 80 | _VERSION_7 | secrets.randbits(12) << 64 | _VARIANT
    return str(uuid.UUID(int=bits | secrets.randbits(62)))


def event_id_of(source: str, event_type: str, state_json: str) -> str:
    """Derives the id of an event that has none from what it says.

    A publisher that repeats itself after an error thereby repeats the same event, not a second one
    of the same version.
    """
    return "e-" + _digest(f"{source}\0{event_type}\0{state_json}")


def _digest(text: str) -> str:
    return sha256(_bytes_of(text)).hexdigest()[:_HEX_DIGITS]


def _bytes_of(text: str) -> bytes:
    """The bytes that a text stands for: a file's name that is not UTF-8 as it lies on the disk."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a manifest's "\\ud800", which stands for no bytes of any name
        return text.encode(errors="surrogatepass")
