"""A caller of the HTTP API, as the end-to-end tests need one."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import httpx

from sightline.engine.settings import ApiSettings, LabelSettings, Mode, Settings
from sightline.infra.sample_photos.synthetic_photos import synthetic_photos
from tests.patience import patient

WAIT: dict[str, str] = {"wait": "searchable", "timeout_s": "60"}
MANY_A_MINUTE = 1_000_000
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody. Without it each client reads all authorities: 20 ms of CPU for plain HTTP."""


def embedded(data_directory: Path, *, learns: bool = False) -> Settings:
    """Settings of an embedded stack of a test's own, on any free port, with no rate to speak of.

    Args:
        data_directory: of the stack alone.
        learns: whether the stages that turn clicks into triples run beside it, as they do by
            default: two more processes, which take longer to start than the stack itself.
    """
    return Settings(
        mode=Mode.EMBEDDED,
        data_directory=data_directory,
        api=ApiSettings(port=0, requests_per_minute=MANY_A_MINUTE),
        labels=LabelSettings(supervised=learns),
    )


class _Drawn(Sequence[bytes]):
    """Draws all of them when the first one is taken: whoever only collects tests takes none."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed

    @cached_property
    def _pictures(self) -> list[bytes]:
        return [photo.jpeg for photo in synthetic_photos(self._count, seed=self._seed)]

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        return self._pictures[place]

    def __len__(self) -> int:
        return self._count


def drawn(count: int, *, seed: int) -> Sequence[bytes]:
    """JPEG files, none like another; the same for the same seed."""
    return _Drawn(count, seed)


class Asking(httpx.Client):
    """An HTTP client with the few requests that the tests repeat."""

    def __init__(self, url: str, *, timeout_s: float = 60.0) -> None:
        super().__init__(base_url=url, timeout=patient(timeout_s), verify=_NO_TLS)

    def upload(
        self, image_id: str, data: bytes, *, wait: bool = True, **fields: str
    ) -> httpx.Response:
        """PUT an image, public unless said; by default returns once it is searchable or hidden."""
        return self.put(
            f"/v1/images/{image_id}",
            params=WAIT if wait else {},
            files={"image": ("picture.jpg", data, "image/jpeg")},
            data={"visibility": "public", **fields},
        )

    def change(
        self, image_id: str, *, wait: bool = True, if_match: int | None = None, **changes: Any
    ) -> httpx.Response:
        """PATCH an image."""
        return self.patch(
            f"/v1/images/{image_id}",
            params=WAIT if wait else {},
            headers=_if_match(if_match),
            json=changes,
        )

    def remove(
        self, image_id: str, *, wait: bool = True, if_match: int | None = None, **params: Any
    ) -> httpx.Response:
        """DELETE an image."""
        return self.delete(
            f"/v1/images/{image_id}",
            params={**(WAIT if wait else {}), **params},
            headers=_if_match(if_match),
        )

    def status(self, image_id: str) -> dict[str, Any]:
        """What is known of an image."""
        return ok(self.get(f"/v1/images/{image_id}"))

    def search(self, data: bytes, *, limit: int = 24, **fields: str) -> httpx.Response:
        """Search by an upload that is not kept; look-alikes stay in."""
        return self.post(
            "/v1/search",
            files={"image": data},
            data={
                "limit": str(limit),
                "store_query": "false",
                "near_duplicates": "keep",
                **fields,
            },
        )

    def found(self, data: bytes, *, limit: int = 24) -> list[str]:
        """Ids of the results for an upload, best first."""
        return ids(self.search(data, limit=limit))


def ok(answer: httpx.Response) -> dict[str, Any]:
    """The document of a success.

    Raises:
        AssertionError: it was none; quotes the problem.
    """
    assert answer.is_success, f"{answer.request.method} {answer.url}: {answer.text}"
    document: dict[str, Any] = answer.json()
    return document


def ids(answer: httpx.Response) -> list[str]:
    """Ids of a search's results, best first."""
    return [str(result["image_id"]) for result in ok(answer)["results"]]


def _if_match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}
