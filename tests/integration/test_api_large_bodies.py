"""A large picture is hashed where it holds up nobody else."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from pathlib import Path

import httpx
import pytest

from sightline.engine import search_ids
from sightline.producers.images import originals
from sightline.search_api.http.hashing import LONG_BYTES
from tests.api_parts import ApiWorld, app_of, client_of, picture


def test_no_large_picture_is_hashed_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a query nor an upload, whoever counts its versions."""
    world = ApiWorld.open(tmp_path)
    large = picture(1) + bytes(LONG_BYTES)
    hashed_by: list[str] = []

    def watched(data: bytes = b"") -> object:
        if len(data) >= LONG_BYTES:
            hashed_by.append(threading.current_thread().name)
        return hashlib.sha256(data)

    async def ask(client: httpx.AsyncClient, method: str, url: str, **fields: str) -> int:
        files = {"image": ("p.jpg", large, "image/jpeg")}
        hashed_by.clear()
        answer = await client.request(method, url, files=files, data=fields)
        assert hashed_by
        assert threading.current_thread().name not in hashed_by, (method, url)
        return answer.status_code

    async def main() -> None:
        async with client_of(app_of(world)) as client:
            assert await ask(client, "POST", "/v1/search") == 200
            assert await ask(client, "POST", "/v1/images") == 202
            assert await ask(client, "PUT", "/v1/images/one", version="3") == 202

    monkeypatch.setattr(search_ids, "sha256", watched)
    monkeypatch.setattr(originals, "sha256", watched)
    asyncio.run(main())
    world.index.close()
