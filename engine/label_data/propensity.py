"""The versioned position-bias curve: how likely a place is looked at, compared with the first.

`labels/propensity/<version>.json`, never overwritten, and a picture beside it. Data sets join it by
position and record its version; where nothing is known the weight is 1.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from sightline.engine.errors import Conflict, Unreadable
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes

PREFIX = "labels/propensity/"
ATTEMPTS = 10
_MAX_BYTES = 1_048_576


class PositionBias(BaseModel):
    """How likely one place on the page is looked at, and on how much evidence."""

    model_config = ConfigDict(frozen=True)

    position: int
    fitted: bool
    """Whether there was enough; if not, `weight` is 1 and `why` says what was missing."""
    why: str | None = None
    propensity: float | None = None
    """P(examined here) ÷ P(examined at place 1), before clipping."""
    low: float | None = None
    """2.5 % of the bootstrap."""
    high: float | None = None
    """97.5 % of the bootstrap."""
    weight: float = 1.0
    """1 ÷ propensity, clipped: what a click at this place counts."""
    pairs: int = 0
    """(anchor, image) pairs that were shown here and at another place."""
    clicks: int = 0
    """Clicks on them here."""


class PropensityCurve(BaseModel):
    """One fit of the position bias: a weight for each place, and what it was fitted on."""

    model_config = ConfigDict(frozen=True)

    version: int = 0
    """From 1; given when it is stored."""
    method: str
    fitted_at: datetime
    source_topics: tuple[str, ...]
    first_epoch: int | None
    last_epoch: int | None
    searches: int
    explored: int = 0
    """Those of the searches whose page chance had varied (`api.explore_share`)."""
    anchors: int
    pairs: int
    """(anchor, image) pairs seen at two places or more."""
    max_weight: float
    bootstrap: int
    seed: int
    positions: tuple[PositionBias, ...]

    @property
    def fitted(self) -> bool:
        """Whether any place beyond the first has a propensity."""
        return any(place.fitted and place.position > 1 for place in self.positions)

    def weight(self, position: int) -> float:
        """What a click at this place counts; 1 where nothing is known."""
        return next((p.weight for p in self.positions if p.position == position), 1.0)


def store_curve(
    store: ObjectStore, bucket: str, curve: PropensityCurve, picture: bytes
) -> PropensityCurve:
    """Keep a fit under the next version, its picture (SVG) beside it.

    A fit that says the same as the newest one is not stored again: that one is returned.

    Raises:
        Conflict: others kept taking the next version.
        PartUnavailable: the store did not answer; a repeat is safe.
    """
    for _ in range(ATTEMPTS):
        newest = latest_curve(store, bucket)
        if newest is not None and _same(newest, curve):
            return newest
        versioned = curve.model_copy(update={"version": newest.version + 1 if newest else 1})
        body = versioned.model_dump_json(indent=1).encode()
        try:
            store.put_if(bucket, curve_key(versioned.version), body, expected_etag=None)
        except Conflict:
            continue
        key = picture_key(versioned.version)
        store.put(bucket, key, picture, content_type="image/svg+xml")
        return versioned
    raise Conflict(f"{PREFIX} is being written by others")


def latest_curve(store: ObjectStore, bucket: str) -> PropensityCurve | None:
    """The newest fit; None before the first. Raises `PartUnavailable`."""
    version = latest_version(store, bucket)
    return load_curve(store, bucket, version) if version else None


def latest_version(store: ObjectStore, bucket: str) -> int:
    """The version of the newest fit; 0 before the first. Raises `PartUnavailable`."""
    keys = (found.key for found in store.list(bucket, PREFIX))
    names = (key.removeprefix(PREFIX).removesuffix(".json") for key in keys)
    return max((int(name) for name in names if name.isdecimal()), default=0)


def load_curve(store: ObjectStore, bucket: str, version: int) -> PropensityCurve:
    """Reads the curve of one version. Raises `ObjectMissing`, `PartUnavailable`, `Unreadable`."""
    key = curve_key(version)
    try:
        return PropensityCurve.model_validate_json(
            stored_bytes(store, bucket, key, max_bytes=_MAX_BYTES)
        )
    except (ValidationError, Unreadable) as error:
        raise Unreadable(f"{key} in bucket {bucket} is damaged: fit the curve again") from error


def curve_key(version: int) -> str:
    """Names the object that holds the curve of a version, as JSON."""
    return f"{PREFIX}{version:06d}.json"


def picture_key(version: int) -> str:
    """Names the object that holds the picture of a version's curve, as SVG."""
    return f"{PREFIX}{version:06d}.svg"


def _same(one: PropensityCurve, other: PropensityCurve) -> bool:
    apart = {"version", "fitted_at"}
    return one.model_dump(exclude=apart) == other.model_dump(exclude=apart)
