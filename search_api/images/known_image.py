"""An image as this process knows it: what is applied, what is on its way, and how that is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sightline.engine.records import IndexedImage
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import Caller
from sightline.schemas.fields import Moderation
from sightline.schemas.images import ImageState
from sightline.schemas.indexed import Outcome
from sightline.schemas.moderation import ImageModerated
from sightline.search_api.images.pending import Pending
from sightline.search_api.search.answers import image_urls


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImage:
    """An image as this process knows it: applied, on its way, or both."""

    applied: IndexedImage | None
    pending: Pending | None
    decision: ImageModerated | None = None
    """The operator's newest, applied or on its way."""
    purged: bool = False
    """`pending` is a delete of so long ago that the index has had it and forgotten it."""

    @property
    def state(self) -> ImageState:
        """The newest state: the one on its way, else the one applied."""
        if self.pending is not None:
            return self.pending.state
        assert self.applied is not None  # noqa: S101 (one of the two is there)
        return self.applied.state

    @property
    def version(self) -> int:
        """The version of the newest state, on its way or applied."""
        return self.state.version

    @property
    def rejected(self) -> bool:
        """Whether the newest version's bytes were refused."""
        return self.pending is None and _applied(self).outcome is Outcome.REJECTED

    def document(self, caller: Caller) -> dict[str, Any]:
        """Describes the image's status in JSON values, as far as the caller may know it."""
        told = _of_state(self.state) | self._moderation()
        told |= {"status": self._status()} | self._facts()
        if not caller.scopes & {Scope.WRITE, Scope.ADMIN}:
            told["owner_id"] = None
        if not caller.may_change(self.state.owner_id):
            told["moderation_reason"] = None
        return told

    @property
    def unreadable(self) -> bool:
        """Whether what the index holds cannot be read, and nothing newer is known."""
        return self.pending is None and _applied(self).unreadable

    def _moderation(self) -> dict[str, Any]:
        """The operator's word, and the state's own, which can only hide."""
        said = self.decision
        blocked = said is not None and said.moderation is Moderation.BLOCKED
        return {
            "moderation": str(Moderation.BLOCKED if blocked else self.state.moderation),
            "moderation_version": 0 if said is None else said.version,
            "moderation_reason": None if said is None else said.reason,
        }

    def _status(self) -> str:
        if self.purged:
            return str(Outcome.DELETED)
        if self.pending is not None:
            return "pending"
        image = _applied(self)
        hidden = image.blocked and image.outcome is Outcome.INDEXED
        return str(Outcome.HIDDEN if hidden else image.outcome)

    def _facts(self) -> dict[str, Any]:
        if self.pending is not None:
            return {
                "freshness": {"occurred": _text(self.pending.published)},
                "applied_version": self._applied_version(),
            }
        image = _applied(self)
        facts: dict[str, Any] = {
            "applied_version": image.version,
            "freshness": _freshness(image),
            "width": image.width,
            "height": image.height,
        }
        if image.reason is not None:
            facts |= {"reason": image.reason, "message": image.message}
        return facts

    def _applied_version(self) -> int | None:
        if self.purged:
            return self.version
        return None if self.applied is None else self.applied.version


def _applied(known: KnownImage) -> IndexedImage:
    assert known.applied is not None  # noqa: S101 (one of the two is there)
    return known.applied


def _of_state(state: ImageState) -> dict[str, Any]:
    return {
        "image_id": state.image_id,
        "version": state.version,
        "authority": str(state.authority),
        "visibility": str(state.visibility),
        "tags": list(state.tags),
        "owner_id": state.owner_id,
        "group_id": state.group_id,
        "attributes": state.attributes,
        **image_urls(state.image_id),
    }


def _freshness(image: IndexedImage) -> dict[str, Any]:
    """Headline `seconds` = searchable less appended; a client's clock enters only `occurred`.

    A rejected image was never searchable.
    """
    told = {"occurred": _text(image.occurred), "appended": _text(image.appended)}
    if image.outcome is Outcome.REJECTED:
        return told
    return told | {
        "searchable": _text(image.applied),
        "seconds": round((image.applied - image.appended).total_seconds(), 6),
    }


def _text(instant: datetime) -> str:
    return instant.isoformat()
