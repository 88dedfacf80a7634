"""An append under way in, its message once the log has it out."""

from __future__ import annotations

from concurrent.futures import Future

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.records import Message


def acknowledged(sent: Future[Message], timeout_s: float) -> Message:
    """Wait for an acknowledgement; a client's own time-out may come a moment after this one.

    Raises:
        PartUnavailable: there was none in time; it may yet arrive, and a repeat is safe.
    """
    try:
        return sent.result(timeout_s)
    except TimeoutError as error:
        raise PartUnavailable(Part.BROKER, f"not acknowledged within {timeout_s:g} s") from error
