"""What the demo's people ask of the API, asked again where it answers that they ask too often."""

from __future__ import annotations

import threading
from typing import Any

import httpx

_TOO_MANY = 429
_WAIT_S = 1.0
"""Where the answer does not say how long."""


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
        """The first answer that is not 429, after as long as `Retry-After` says each time."""
        while True:
            answer = self._client.post(url, json=json)
            if answer.status_code != _TOO_MANY or self._stop.wait(_told_s(answer)):
                return answer


def _told_s(answer: httpx.Response) -> float:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() else _WAIT_S
