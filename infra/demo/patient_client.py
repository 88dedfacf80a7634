"""What people of the demo ask of the API, asked again where it answers that it is too much."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx

_TOO_MUCH = frozenset({429, 503})
"""They ask too often, or more than the log's readers have read yet."""
_WAIT_S = 1.0
"""Where the answer does not say how long."""
_LONGEST_S = 300.0
"""Then something is wrong that waiting does not mend."""


class PatientClient:
    """An `HttpClient` for who asks as fast as the API answers, which may be faster than it allows.

    Args:
        client: bound to the API.
        stop: ends the waiting.
    """

    def __init__(self, client: httpx.Client, stop: threading.Event) -> None:
        self._client = client
        self._stop = stop

    def post(self, url: str, *, json: Any) -> httpx.Response:
        """The first answer that is neither 429 nor 503, else the last one within five minutes.

        Before each repeat it waits as long as `Retry-After` says.
        """
        ends = time.monotonic() + _LONGEST_S
        while True:
            answer = self._client.post(url, json=json)
            if answer.status_code not in _TOO_MUCH or time.monotonic() > ends:
                return answer
            if self._stop.wait(_told_s(answer)):
                return answer


def _told_s(answer: httpx.Response) -> float:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() else _WAIT_S
