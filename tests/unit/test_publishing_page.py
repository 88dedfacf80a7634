"""The figures of docs/publishing.md by which a foreign client is checked."""

from __future__ import annotations

import re
import zlib

from sightline.engine.event_log.partitions import partition_of
from sightline.infra.generating.generate import CHECKOUT
from sightline.schemas.topics import IMAGES


def test_the_partitions_to_expect_are_those_of_the_code() -> None:
    """By murmur2 and by CRC32, which differ for each of the ids."""
    page = (CHECKOUT / "docs/publishing.md").read_text()
    rows = re.findall(r"\| `([^`]+)` \| (\d+) \| (\d+) \|", page)
    assert len(rows) == 3
    assert f"a topic of {IMAGES.partitions} partitions" in page
    for image_id, right, wrong in rows:
        assert int(right) == partition_of(image_id, IMAGES.partitions)
        assert int(wrong) == zlib.crc32(image_id.encode()) % IMAGES.partitions
        assert right != wrong
