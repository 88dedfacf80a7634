"""Every thread pool of the API: made as one value, closed as one value.

A pool for each thing that may have to be waited for, so that a store that hangs takes no thread
from searches, and a broker that hangs none from reads.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Self

from sightline.engine.errors import Part

IMAGE_READS = 8
"""Looks into the index at once, of status and of writes that wait to be searchable."""
CATALOGUE_READS = 4
"""Looks into the catalogue at once."""
RENDITIONS = 2
"""Pictures made smaller at once; each takes a core."""
IMPRESSIONS = 4
"""Query pictures stored at once, behind the answers."""
JUDGEMENTS = 4
"""Judgements checked against index and store at once."""
MODERATION = 4
"""Decisions made at once; apart from writes, so that a block waits for no upload."""
MAX_WRITES = 16
"""At once, each with its thread and perhaps a picture in memory; as many again wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiThreads:
    """The pools; a pool starts its threads when it is first given work."""

    searches: ThreadPoolExecutor
    image_reads: ThreadPoolExecutor
    catalogue_reads: ThreadPoolExecutor
    writes: ThreadPoolExecutor
    moderation: ThreadPoolExecutor
    renditions: ThreadPoolExecutor
    decoding: ThreadPoolExecutor
    embedding: ThreadPoolExecutor
    impressions: ThreadPoolExecutor
    judgements: ThreadPoolExecutor
    recall_checks: ThreadPoolExecutor
    """One thread: what an exact scan of a large index takes, it takes once at a time."""
    probes: dict[Part, ThreadPoolExecutor]
    """One for each part that is asked whether it is there: one that hangs holds up no other."""

    @classmethod
    def made(
        cls, *, searches: int, decoding: int, embedding: int, probed: Collection[Part] = ()
    ) -> Self:
        """The pools, of these sizes where the settings or the machine decide.

        Args:
            searches: answered at once.
            decoding: pictures decoded at once.
            embedding: forward passes at once.
            probed: parts that are asked whether they are there.
        """
        return cls(
            searches=ThreadPoolExecutor(searches, "search"),
            image_reads=ThreadPoolExecutor(IMAGE_READS, "image-status"),
            catalogue_reads=ThreadPoolExecutor(CATALOGUE_READS, "catalogue-read"),
            writes=ThreadPoolExecutor(MAX_WRITES, "image-write"),
            moderation=ThreadPoolExecutor(MODERATION, "moderation"),
            renditions=ThreadPoolExecutor(RENDITIONS, "rendition"),
            decoding=ThreadPoolExecutor(decoding, "query-decode"),
            embedding=ThreadPoolExecutor(embedding, "query-embed"),
            impressions=ThreadPoolExecutor(IMPRESSIONS, "impressions"),
            judgements=ThreadPoolExecutor(JUDGEMENTS, "judgement"),
            recall_checks=ThreadPoolExecutor(1, "recall-check"),
            probes={part: ThreadPoolExecutor(1, f"probe-{part}") for part in probed},
        )

    def close(self) -> None:
        """Finish what requests wait for, drop what nobody does; repeated calls do nothing."""
        unawaited = (self.impressions, self.recall_checks, *self.probes.values())
        for pool in unawaited:
            pool.shutdown(wait=False, cancel_futures=True)
        for field in fields(self):
            pool = getattr(self, field.name)
            if isinstance(pool, ThreadPoolExecutor) and pool not in unawaited:
                pool.shutdown()
