"""What a person says about two images, outside of any search."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import Id, ImageId, Time
from sightline.schemas.searches import Query

MAX_GRADE = 5
Grade = Annotated[int, Field(strict=True, ge=0, le=MAX_GRADE)]


class RelevanceJudged(EventData):
    """A person graded how well an image answers an anchor; the judge's latest grade holds."""

    TYPE: ClassVar[str] = "sightline.relevance.judged.v1"
    SUBJECT: ClassVar[str] = "anchor_id"

    anchor_id: ImageId
    """What was asked by; the Kafka key."""
    image_id: ImageId
    """What was judged."""
    grade: Grade
    """0 unrelated … 5 the same thing; at least 4 is relevant, at most 1 an explicit negative."""
    judge_id: Id
    """Who judged: what answers for them (an API key's name), `~`, and their pseudonym."""
    judged_at: Time
    """When; of two grades of one judge the later holds, ties by event id."""
    query: Query | None = None
    """The anchor's query, where it was an upload."""
