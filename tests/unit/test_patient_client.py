"""Whoever asks too often, or too much, is told to wait, and waits."""

from __future__ import annotations

import threading

import httpx
import pytest

from sightline.infra.demo import patient_client
from sightline.infra.demo.patient_client import PatientClient


class Busy:
    """An API that refuses some requests before it answers one."""

    def __init__(self, refused: int, headers: dict[str, str], status: int = 429) -> None:
        self.refused, self.headers, self.status = refused, headers, status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer; 200 says what was sent."""
        if self.refused:
            self.refused -= 1
            return httpx.Response(self.status, headers=self.headers)
        return httpx.Response(200, content=request.content)


def client_of(api: Busy) -> httpx.Client:
    """A client of that API."""
    return httpx.Client(transport=httpx.MockTransport(api), base_url="http://api")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("headers", [{"Retry-After": "0"}, {"Retry-After": "soon"}, {}])
def test_it_asks_again(
    headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as it is told to, with the same request."""
    monkeypatch.setattr(patient_client, "_WAIT_S", 0.0)
    busy = Busy(3, headers, status)
    answer = PatientClient(client_of(busy), threading.Event()).post("/x", json=7)
    assert (answer.status_code, answer.text) == (200, "7")


def test_it_stops_waiting() -> None:
    """The last answer is handed on then."""
    stop = threading.Event()
    stop.set()
    busy = Busy(1, {"Retry-After": "3600"})
    assert PatientClient(client_of(busy), stop).post("/x", json=7).status_code == 429


def test_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not end by waiting is told as it is."""
    monkeypatch.setattr(patient_client, "_LONGEST_S", -1.0)
    answer = PatientClient(client_of(Busy(9, {}, 503)), threading.Event()).post("/x", json=7)
    assert answer.status_code == 503
