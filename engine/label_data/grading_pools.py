"""Pools: what people are asked to grade, chosen once and then the same for everybody.

`labels/pools/<name>.json`, never overwritten. A pool names no model beside an image: whoever grades
cannot know which one found it. That all that any of several systems finds in its first places is
judged, and nothing else, is the method of test collections (K. Sparck Jones and C. J. van
Rijsbergen, "Report on the need for and provision of an 'ideal' information retrieval test
collection", 1975; used by TREC since 1992).
"""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sightline.engine.errors import (
    Conflict,
    NotFound,
    ObjectMissing,
    SettingsInvalid,
    Unreadable,
)
from sightline.engine.label_data.judgements import Pair
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes
from sightline.schemas.fields import ImageId

PREFIX = "labels/pools/"
MAX_IMAGES = 200
"""Per anchor: more than a person grades in one go."""
MAX_ANCHORS = 10_000
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MAX_BYTES = 64 * 1024 * 1024


class PooledAnchor(BaseModel):
    """One image to search by, and what was found for it."""

    model_config = ConfigDict(frozen=True)

    anchor_id: ImageId
    images: Annotated[tuple[ImageId, ...], Field(min_length=1, max_length=MAX_IMAGES)]
    """The images to grade, sorted by id: the union of what the models find first."""
    disagreement: Annotated[float, Field(ge=0, le=1)]
    """1 - the mean overlap of two models' first images; 0: they all find the same."""
    clicks: Annotated[int, Field(ge=0)] = 0
    """Preferred images that searches by it had, when the pool was made."""


class Pool(BaseModel):
    """What is worth grading, by what models, in the order in which it is shown."""

    model_config = ConfigDict(frozen=True)

    name: str
    made_at: datetime
    models: tuple[str, ...]
    """Whose first images are pooled."""
    depth: int
    """So many of each."""
    seed: int
    """Decides the order in which images are shown to each judge."""
    anchors: Annotated[tuple[PooledAnchor, ...], Field(max_length=MAX_ANCHORS)]

    @property
    def pairs(self) -> list[Pair]:
        """Lists everything that is to be graded, in order."""
        return [(each.anchor_id, image) for each in self.anchors for image in each.images]


def shown_to(pool: Pool, anchor: PooledAnchor, judge: str) -> list[str]:
    """The anchor's images in this judge's order: always the same, and another for every judge.

    What is first on a page is graded higher than it would be below; over several judges that evens
    out.
    """

    def place(image: str) -> bytes:
        return sha256(f"{pool.seed}|{judge}|{anchor.anchor_id}|{image}".encode()).digest()

    return sorted(anchor.images, key=place)


def store_pool(store: ObjectStore, bucket: str, pool: Pool) -> None:
    """Keep a new pool.

    Raises:
        SettingsInvalid: its name is none, or there is a pool of that name.
        PartUnavailable: the store did not answer.
    """
    key = _key(pool.name)
    try:
        store.put_if(bucket, key, pool.model_dump_json(indent=1).encode(), expected_etag=None)
    except Conflict as error:
        raise SettingsInvalid(
            f"there is a pool {pool.name} already: people may be grading it, so name another"
        ) from error


def load_pool(store: ObjectStore, bucket: str, name: str) -> Pool:
    """A pool by its name.

    Raises:
        NotFound: there is none of that name, or it is damaged.
        PartUnavailable: the store did not answer.
    """
    if NAME.fullmatch(name) is None:
        raise NotFound(f"there is no pool {name}")
    try:
        return Pool.model_validate_json(
            stored_bytes(store, bucket, _key(name), max_bytes=_MAX_BYTES)
        )
    except ObjectMissing as error:
        raise NotFound(f"there is no pool {name}") from error
    except (ValidationError, Unreadable) as error:
        raise NotFound(f"the pool {name} is damaged") from error


def pool_names(store: ObjectStore, bucket: str) -> list[str]:
    """The names of all pools. Raises `PartUnavailable`."""
    keys = (found.key.removeprefix(PREFIX) for found in store.list(bucket, PREFIX))
    names = (key.removesuffix(".json") for key in keys if key.endswith(".json"))
    return [name for name in names if NAME.fullmatch(name)]


def _key(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise SettingsInvalid(
            f"{name!r}: a pool's name has 1 to 64 of the characters a-z 0-9 . _ -, "
            "and begins with a letter or digit"
        )
    return f"{PREFIX}{name}.json"
