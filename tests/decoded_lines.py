"""How many lines of Python a picture costs that is decoded, ours and the decoders'."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.pixels import decode_stored
from sightline.engine.settings import DecodeSettings

LIMITS = DecodeSettings()


def lines_of_decoding(data: bytes) -> int:
    """How many lines are run, in whatever module, until there are pixels or a refusal."""
    count = 0

    def local(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return local

    before = sys.gettrace()
    sys.settrace(lambda *_: local)
    try:
        decode(data)
    finally:
        sys.settrace(before)
    return count


def decode(data: bytes) -> None:
    """To pixels or to a refusal."""
    try:
        decode_stored(data, limits=LIMITS, detail=64.0)
    except BadImage as error:
        assert error.reason is not RejectReason.EMPTY  # noqa: PT017 - any other will do
