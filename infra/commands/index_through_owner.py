"""What the index knows of an image, asked of the process that owns it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import urllib3

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.embedded.http_producer import EVENTS_PATH
from sightline.producers.images.catalogue_writes import Known
from sightline.schemas.images import ImageState
from sightline.schemas.registry import decode

_TIMEOUT_S = 10.0


def known_through(url: str, headers: Mapping[str, str], *, threads: int = 1) -> Known:
    """Looks images up through the owner's API; raises `PartUnavailable` if it is away.

    Args:
        url: base URL of the API.
        headers: of every request: the key, where the API has keys.
        threads: that ask at once; each keeps its connection.
    """
    pool = urllib3.PoolManager(maxsize=threads, timeout=_TIMEOUT_S, retries=False, headers=headers)

    def known(image_id: str) -> ImageState | None:
        address = f"{url}{EVENTS_PATH}/{image_id}"
        try:
            answer = pool.request("GET", address)
        except urllib3.exceptions.HTTPError as error:
            raise PartUnavailable(Part.INDEX, f"no answer from {address}: {error}") from error
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            raise PartUnavailable(Part.INDEX, f"{address}: HTTP {answer.status}")
        state: ImageState = decode(answer.data).data
        return state

    return known
