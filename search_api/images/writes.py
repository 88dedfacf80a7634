"""All that writes images, as one value for the routes."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.search_api.images.changing import Changing
from sightline.search_api.images.deleting import Deleting
from sightline.search_api.images.uploading import Uploading


@dataclass(frozen=True, slots=True)
class ImageWrites:
    """What carries out the three kinds of writes; they share one `Acknowledging`."""

    uploading: Uploading
    changing: Changing
    deleting: Deleting
