"""What callers may say: bounded, strict models; an unknown field is an error that names it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sightline.engine.records import TagFilter
from sightline.engine.search_ids import is_pseudonym
from sightline.schemas.fields import (
    MAX_TAGS,
    Attributes,
    Id,
    ImageId,
    Moderation,
    OwnerId,
    OwnerVersion,
    SearchId,
    Tag,
    Tags,
    Version,
    Visibility,
)
from sightline.schemas.interactions import MAX_ITEMS, Interaction
from sightline.schemas.judgements import Grade
from sightline.schemas.searches import MAX_SHOWN, CropBox, Location

DEFAULT_LIMIT = 24
FilterTags = Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)]


def _no_pseudonym(session_id: str) -> str:
    if is_pseudonym(session_id):
        raise ValueError("`u-` and 32 hex digits are a user's pseudonym, not a session")
    return session_id


SessionId = Annotated[Id, AfterValidator(_no_pseudonym)]
"""A session by a user's pseudonym would act in that user's name."""
UserId = Annotated[str, Field(min_length=1, max_length=256)]


class NearDuplicates(StrEnum):
    """What becomes of results that look the same."""

    COLLAPSE = "collapse"
    KEEP = "keep"


class RequestModel(BaseModel):
    """The base class of all request models: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    HINTS: ClassVar[Mapping[str, str]] = {}
    """What to say of fields that callers look for here, but that are none."""


class SearchFields(RequestModel):
    """What may accompany a query, whether an upload or an indexed image."""

    limit: Annotated[int, Field(ge=1, le=MAX_SHOWN)] = DEFAULT_LIMIT
    """Results wanted."""
    tags_any: FilterTags = ()
    """At least one of these; empty: no condition."""
    tags_all: FilterTags = ()
    """All of these."""
    tags_none: FilterTags = ()
    """None of these."""
    exact: bool = False
    """Compare with every image instead of walking the graph."""
    near_duplicates: NearDuplicates = NearDuplicates.COLLAPSE
    """`collapse` shows one of several that look the same; `keep` shows all."""
    session_id: SessionId | None = None
    """The id of the caller's session, told to nobody else; none: one is made."""
    user_id: UserId | None = None
    """Leaves this process only as a pseudonym; passed over unless the key has the scope `users`."""
    location: Location | None = None
    """Where the actor is, as coarse as you like."""

    @property
    def tags(self) -> TagFilter:
        """The filter as the index takes it."""
        return TagFilter(any_of=self.tags_any, all_of=self.tags_all, none_of=self.tags_none)


class ImageSearch(SearchFields):
    """Search by an image that is indexed already (JSON)."""

    HINTS = {
        "image": "to search by a picture, send a form",
        "crop": "it goes with a picture, in a form",
        "store_query": "it goes with a picture, in a form",
    }

    image_id: ImageId
    """The image to search by; public and allowed."""


class UploadSearch(SearchFields):
    """Search by an uploaded picture (multipart; the picture is the part `image`)."""

    HINTS = {"image_id": "to search by an image's id, send JSON"}

    crop: CropBox | None = None
    """The part of the picture to search by."""
    store_query: bool = True
    """Keep the picture for 30 days, so that this search can teach; false keeps nothing."""


class ImageFields(RequestModel):
    """What an upload says about its image (multipart; the picture is the part `image`)."""

    HINTS = {"image_id": "an id of yours goes in the address: PUT /v1/images/{image_id}"}

    visibility: Visibility = Visibility.PRIVATE
    """Private unless said otherwise."""
    moderation: Moderation = Moderation.ALLOWED
    """Only an admin key sets it; a decision of its own, that no later upload undoes."""
    tags: Tags = ()
    """What the image can be filtered by."""
    owner_id: OwnerId | None = None
    """Whose image it is; a `write` key's own owner is filled in."""
    group_id: Id | None = None
    """Several photos of one thing share it."""
    attributes: Attributes = Field(default_factory=dict)
    """Returned with results: at most 4 KiB of JSON, at most 32 levels deep."""
    version: OwnerVersion | None = None
    """Given: you count this image's versions (authority `owner`). None: Sightline does."""


class ImagePatch(RequestModel):
    """A change to an image; what is absent stays as it is (JSON)."""

    visibility: Visibility | None = None
    """Absent: unchanged."""
    moderation: Moderation | None = None
    """Absent: unchanged; only an admin key sets it, and it needs no version."""
    tags: Tags | None = None
    """Replaces all tags; absent: unchanged."""
    owner_id: OwnerId | None = None
    """Null: nobody's; absent: unchanged; only an admin key sets it."""
    group_id: Id | None = None
    """Null: in no group; absent: unchanged."""
    attributes: Attributes | None = None
    """Replaces all attributes; absent: unchanged."""
    version: Version | None = None
    """The version of the change, where you count them: higher than the present one."""

    @model_validator(mode="after")
    def _only_nullable_nulls(self) -> Self:
        for name in ("visibility", "moderation", "tags", "attributes", "version"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} must not be null; leave it out to keep it")
        return self

    def changes(self) -> dict[str, Any]:
        """What was said, without the version: new values by field of the image's state."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"version"}}


class ModerationVerdict(RequestModel):
    """What the operator decides about an image (JSON)."""

    moderation: Moderation
    """`blocked` hides it from every search, whatever its owner says; `allowed` lifts that."""
    decided_by: Id = "admin"
    """Who decides: a person's name, or a classifier's."""
    reason: Annotated[str, Field(max_length=512)] | None = None
    """Why, for people; the image's owner is told."""


class ReportedInteraction(Interaction):
    """One thing that somebody did with one shown image."""

    model_config = ConfigDict(extra="forbid")


class Beacon(RequestModel):
    """What a visitor did with one page of results (JSON, also as `text/plain`)."""

    search_id: SearchId
    """The id that the search answered; it alone authorises this, for 24 h."""
    items: Annotated[tuple[ReportedInteraction, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    """What was done, in the order in which it was done."""


class Judgement(RequestModel):
    """A person's grade of an image for an anchor (JSON)."""

    anchor_id: ImageId
    """What was asked by: an image that everybody may see, or the `q-…` of an upload that was."""
    image_id: ImageId
    """What is judged; an image that everybody may see."""
    grade: Grade
    """0 unrelated … 5 the same thing; at least 4 is relevant, at most 1 an explicit negative."""
    judge: UserId
    """Who judged; leaves this process only as a pseudonym, behind the name of the key."""
    search_id: SearchId | None = None
    """The id of a search by the anchor: needed where the anchor is a part of an upload, or an
    upload that was not kept."""


class GradingTurn(RequestModel):
    """Which judge grades next, and how much at once (JSON)."""

    judge: UserId
    """Who grades; the name that their judgements are sent under."""
    after: ImageId | None = None
    """Only anchors behind this one in the pool: passes over what was skipped."""
    limit: Annotated[int, Field(strict=True, ge=1, le=20)] = 5
    """At most so many anchors."""


class WaitQuery(StrEnum):
    """The moment until which a write may wait with its answer."""

    SEARCHABLE = "searchable"
