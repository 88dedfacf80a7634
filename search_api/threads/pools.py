"""The thread pools of the API: made as one value, closed as one value.

A pool for each thing that may have to be waited for, so that a store that hangs takes no thread
from searches, and a broker that hangs none from reads. What asks no part (hashing, a form's files,
the waits of a shutdown) has the default pool of asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import ParamSpec, Self, TypeVar

from sightline.engine.errors import Part, PartUnavailable

P = ParamSpec("P")
T = TypeVar("T")

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


class ApiPool(ThreadPoolExecutor):
    """Threads that take no more work once they are closed, as a part does that is away.

    A request that began before the process was told to stop may come to its next step after.

    Args:
        size: threads at most.
        name: begins theirs.
        part: what the work asks.
    """

    def __init__(self, size: int, name: str, part: Part) -> None:
        super().__init__(size, name)
        self._part = part

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it done by a thread.

        Raises:
            PartUnavailable: the pool is closed, or the machine has no thread to give.
        """
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:
            raise PartUnavailable(self._part, f"this process takes no work: {error}") from error

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What a thread makes of it, awaited; raises what it and `submit` raise."""
        return await asyncio.wrap_future(self.submit(fn, *args, **kwargs))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiThreads:
    """The pools; a pool starts its threads when it is first given work."""

    searches: ApiPool
    image_reads: ApiPool
    catalogue_reads: ApiPool
    writes: ApiPool
    moderation: ApiPool
    renditions: ApiPool
    decoding: ApiPool
    embedding: ApiPool
    impressions: ApiPool
    judgements: ApiPool
    recall_checks: ApiPool
    """One thread: what an exact scan of a large index takes, it takes once at a time."""
    probes: dict[Part, ApiPool]
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
            searches=ApiPool(searches, "search", Part.INDEX),
            image_reads=ApiPool(IMAGE_READS, "image-status", Part.INDEX),
            catalogue_reads=ApiPool(CATALOGUE_READS, "catalogue-read", Part.STORE),
            writes=ApiPool(MAX_WRITES, "image-write", Part.STORE),
            moderation=ApiPool(MODERATION, "moderation", Part.STORE),
            renditions=ApiPool(RENDITIONS, "rendition", Part.STORE),
            decoding=ApiPool(decoding, "query-decode", Part.EMBEDDER),
            embedding=ApiPool(embedding, "query-embed", Part.EMBEDDER),
            impressions=ApiPool(IMPRESSIONS, "impressions", Part.BROKER),
            judgements=ApiPool(JUDGEMENTS, "judgement", Part.INDEX),
            recall_checks=ApiPool(1, "recall-check", Part.INDEX),
            probes={part: ApiPool(1, f"probe-{part}", part) for part in probed},
        )

    def close(self) -> None:
        """Finish what requests wait for, drop what nobody does; repeated calls do nothing."""
        unawaited = (self.impressions, self.recall_checks, *self.probes.values())
        for pool in unawaited:
            pool.shutdown(wait=False, cancel_futures=True)
        for field in fields(self):
            pool = getattr(self, field.name)
            if isinstance(pool, ApiPool) and pool not in unawaited:
                pool.shutdown()
