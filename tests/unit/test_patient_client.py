"""Whoever asks too often is told to wait, and waits."""

from __future__ import annotations

import threading

import httpx
import pytest

from sightline.infra.demo.patient_client import PatientClient


class Busy:
    """An API that answers some requests with 429 before it answers one."""

    def __init__(self, refused: int, headers: dict[str, str]) -> None:
        self.refused, self.headers = refused, headers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer; 200 says what was sent."""
        if self.refused:
            self.refused -= 1
            return httpx.Response(429, headers=self.headers)
        return httpx.Response(200, content=request.content)


def client_of(api: Busy) -> httpx.Client:
    """A client of that API."""
    return httpx.Client(transport=httpx.MockTransport(api), base_url="http://api")


@pytest.mark.parametrize("headers", [{"Retry-After": "0"}, {"Retry-After": "soon"}, {}])
def test_it_asks_again(headers: dict[str, str]) -> None:
    """As often as it is told to, with the same request."""
    refused = 3 if headers.get("Retry-After") == "0" else 1
    answer = PatientClient(client_of(Busy(refused, headers)), threading.Event()).post("/x", json=7)
    assert (answer.status_code, answer.text) == (200, "7")


def test_it_stops_waiting() -> None:
    """The last answer is handed on then."""
    stop = threading.Event()
    stop.set()
    busy = Busy(1, {"Retry-After": "3600"})
    assert PatientClient(client_of(busy), stop).post("/x", json=7).status_code == 429
