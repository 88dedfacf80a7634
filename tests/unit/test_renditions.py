"""Pictures as they are shown: what is about one of them alone is told of it alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import (
    NotFound,
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    Part,
    PartUnavailable,
    SightlineError,
    TooLarge,
)
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.settings import DecodeSettings
from sightline.search_api.images.renditions import Rendition, Renditions
from sightline.search_api.threads.pools import ApiPool
from tests.api_parts import picture
from tests.indexed_images import image

OURS = "sightline"
DATA = picture(1)
SHOWN = replace(image("cat"), content_sha256=sha256(DATA).hexdigest())


class Answering(MemoryObjectStore):
    """Answers with the same failure whatever is asked for of another's bucket, or of ours."""

    def __init__(self, theirs: SightlineError | None, ours: SightlineError | None = None) -> None:
        super().__init__(OURS)
        self._of = {True: ours, False: theirs}

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """Fail, or find the original and no rendition."""
        del max_bytes
        failure = self._of[bucket == OURS and key.startswith("thumbnails/")]
        if failure is not None:
            raise failure
        return DATA if not key.startswith("thumbnails/") else super().get(bucket, key)


def shown(store: MemoryObjectStore, health: Health) -> bytes:
    """The thumbnail of an image whose original lies in that store."""
    with ApiPool(1, "rendition", Part.STORE) as threads:
        renditions = Renditions(
            store,
            OURS,
            DecodeSettings(),
            health=health,
            metrics=Metrics(),
            at_once=1,
            threads=threads,
        )
        return asyncio.run(renditions.of(SHOWN, Rendition.THUMBNAIL))


@pytest.mark.parametrize("kind", [ObjectDenied, ObjectRefused, ObjectMissing, TooLarge])
def test_a_picture_that_is_not_to_be_had_is_no_part_that_is_down(
    kind: type[SightlineError],
) -> None:
    """Else one closed object would take feedback, uploads and `/readyz` from everybody."""
    health = Health(ManualClock())
    with pytest.raises(NotFound, match="no bytes that can be shown"):
        shown(Answering(kind("AccessDenied")), health)
    assert health.is_up(Part.STORE)


def test_a_store_that_is_down_is_told() -> None:
    """Until it answers again."""
    health = Health(ManualClock())
    with pytest.raises(PartUnavailable):
        shown(Answering(PartUnavailable(Part.STORE, "gone")), health)
    assert not health.is_up(Part.STORE)


@pytest.mark.parametrize("kind", [ObjectRefused, TooLarge, ObjectMissing])
def test_a_rendition_that_cannot_be_read_is_made_again(kind: type[SightlineError]) -> None:
    """It is ours, and only a copy."""
    store = Answering(None, kind("damaged"))
    assert shown(store, Health(ManualClock())).startswith(b"\xff\xd8\xff")
    assert len(list(store.list(OURS, "thumbnails/"))) == 1
