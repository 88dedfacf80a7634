"""What `sightline status` says of the generation that serves, asked of the API wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sightline.engine.settings import ApiSettings, Settings
from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.infra.reporting.status_table import generation_of
from sightline.search_api.http.documents.readiness import PartDocument, ReadinessDocument
from tests.serving import serving


def document(**parts: bool) -> dict[str, Any]:
    """What `/readyz` says; each part up or down."""
    told = ReadinessDocument(
        ready=all(parts.values()),
        parts={name: PartDocument(up=up, reason="") for name, up in parts.items()},
        runtime="openvino",
        learning=False,
        model="sha256:ab",
        generation="g-ab",
    )
    return told.model_dump()


class Api:
    """Answers `/readyz` with what the test says."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.answer: Response = JSONResponse(document(broker=True, index=True))
        self.url = ""

        @self.app.get("/readyz")
        def readyz() -> Response:
            return self.answer


@pytest.fixture
def api() -> Iterator[Api]:
    """One that runs."""
    api = Api()
    with serving(api.app) as url:
        api.url = url
        yield api


def asked(folder: Path, url: str | None) -> str:
    """What is said where no API shares the data directory."""
    return generation_of(Settings(data_directory=folder, api=ApiSettings(url=url)))


def test_the_configured_api_is_asked(api: Api, tmp_path: Path) -> None:
    """Another machine's: generation, model, runtime and readiness; a slash more is none."""
    told = "g-ab of model sha256:ab on openvino, ready"
    assert asked(tmp_path, api.url) == told
    assert asked(tmp_path, f"{api.url}/") == told


def test_what_is_down_is_named(api: Api, tmp_path: Path) -> None:
    """An API that is not ready says which part is to blame."""
    api.answer = JSONResponse(document(broker=True, index=False), 503)
    assert asked(tmp_path, api.url) == "g-ab of model sha256:ab on openvino, down: index"


def test_a_loop_that_stopped_is_named(api: Api, tmp_path: Path) -> None:
    """With what the API says of it; the API itself is ready."""
    api.answer = JSONResponse(document(broker=True) | {"stopped": {"bridge": "too many"}})
    assert asked(tmp_path, api.url).endswith("ready; bridge stopped: too many")


@pytest.mark.parametrize(
    "answer",
    [PlainTextResponse("Bad gateway", 502), JSONResponse([1]), JSONResponse({"parts": 1})],
    ids=["no JSON", "a list", "another document"],
)
def test_an_answer_of_somebody_else_is_told(api: Api, tmp_path: Path, answer: Response) -> None:
    """A proxy's error page, or another service: no traceback."""
    api.answer = answer
    assert "not as the API does" in asked(tmp_path, api.url)


def test_nobody_at_the_address_is_told(tmp_path: Path) -> None:
    """The address is in the sentence."""
    url = f"http://{LOOPBACK}:{free_port()}"
    assert asked(tmp_path, url).startswith(f"unknown: {url} does not answer")


def test_no_address_at_all_is_told(tmp_path: Path) -> None:
    """The sentence names the setting that would help."""
    assert "api.url" in asked(tmp_path, None)
