"""What an epoch's searches came to, as absolute values that readers add up (docs/labels.md)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import Id, Time
from sightline.schemas.labels import Count, Epoch

MAX_ACTORS = 20_000
ActorDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class SearchMetricsCounted(EventData):
    """One fold of `SearchClosed`; a repeat of its key replaces it, with the same values.

    Bots' searches are in `bot_searches` and nowhere else.
    """

    TYPE: ClassVar[str] = "sightline.metrics.counted.v1"

    variant: Id
    """The arm of an A/B test."""
    model_digest: Annotated[str, Field(max_length=128)]
    """What ranked."""
    epoch: Epoch
    """The epoch that the searches were issued in."""
    source_topic: Annotated[str, Field(min_length=1, max_length=249)]
    """The topic of the interactions, without the deployment's prefix."""
    source_partition: Count
    """The partition that the interactions were read from."""
    epoch_start: Time
    """When the epoch began, for folding into days, weeks and months (UTC)."""
    searches: Count
    """Closed, by people."""
    bot_searches: Count
    """Closed, by bots."""
    empty_searches: Count
    """Those among `searches` in which nothing was shown."""
    images_shown: Count
    """Distinct per search."""
    images_clicked: Count
    """Distinct per search; ÷ `images_shown` is the CTR."""
    clicks: Count
    """All counted clicks; ÷ `searches` are the clicks per search."""
    likes: Count
    """All counted."""
    shares: Count
    """All counted."""
    conversions: Count
    """All counted."""
    searches_converted: Count
    """With at least one conversion."""
    dwell_ms: Count
    """Sum over clicked images with a known dwell."""
    dwells: Count
    """How many such images."""
    actors: Annotated[tuple[ActorDigest, ...], Field(max_length=MAX_ACTORS)]
    """Distinct people, each by 16 hex digits that name them on the day of `epoch_start` alone,
    sorted: distinct user-days need their union."""
    actors_omitted: Count = 0
    """People beyond the bound of `actors`."""

    @property
    def subject(self) -> str:
        """Names what the counts are of; it is the Kafka key, too."""
        return (
            f"{self.variant}/{self.model_digest}/{self.epoch}"
            f"/{self.source_topic}/{self.source_partition}"
        )
