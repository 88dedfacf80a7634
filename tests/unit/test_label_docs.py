"""What the pages on labels tell to copy: it runs, and its settings are settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.settings import StoreSettings, load_settings
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def sample(page: str, language: str, number: int = 0) -> str:
    """A fenced block of a page."""
    blocks: list[str] = re.findall(
        rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL
    )
    return blocks[number]


def test_short_windows_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies the block gets them, not an error."""
    path = tmp_path / "sightline.toml"
    path.write_text(sample("label-stages.md", "toml"))
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(path))
    settings = load_settings()
    labels = settings.labels
    windows = (labels.epoch_s, labels.attribution_window_s, labels.lateness_s, labels.tick_s)
    assert (*windows, settings.sink.max_age_s) == (5, 20, 2, 1, 2)


def test_the_store_is_opened_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No triples and no curve, where there are none yet."""
    DirectoryObjectStore(tmp_path).ensure_bucket(StoreSettings().bucket)
    monkeypatch.setenv("SIGHTLINE_STORE__DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(sample("labels-data.md", "python"), names)  # noqa: S102 - our own page
    assert (names["triples"].num_rows, names["curve"]) == (0, None)
    names["store"].close()


def test_simulated_people_come_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are put, searched by and clicked, at the address of `sightline up`."""
    told: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        told.append(request)
        if request.url.path != "/v1/search":
            return httpx.Response(200, json={})
        found = [photo.stem for photo in sorted((DOCS / "images").glob("*.jpg"))]
        results = [{"image_id": name, "position": n} for n, name in enumerate(found, 1)]
        return httpx.Response(200, json={"search_id": f"s{len(told)}", "results": results})

    class Client(httpx.Client):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx.MockTransport(answer), **options)

    monkeypatch.setattr(httpx, "Client", Client)
    monkeypatch.chdir(DOCS.parent)
    exec(sample("simulator.md", "python", 1), {})  # noqa: S102 - our own page
    assert {request.url.host for request in told} == {"127.0.0.1"}
    assert list(_counts(told)) == [len(list((DOCS / "images").glob("*.jpg"))), 40, True]


def test_a_log_of_real_pages_is_made_as_the_page_says() -> None:
    """A ranking is given, and records come."""
    names: dict[str, Any] = {}
    exec(sample("simulator.md", "python"), names)  # noqa: S102 - our own page
    assert len(names["records"]) > 100
    assert names["log"].truth.relevance("gala", "smith") == 0.3


def _counts(told: list[httpx.Request]) -> Iterator[int]:
    yield sum(request.method == "PUT" for request in told)
    yield sum(request.url.path == "/v1/search" for request in told)
    yield any(request.url.path == "/v1/interactions" for request in told)
