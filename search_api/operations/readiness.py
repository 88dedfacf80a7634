"""Whether each part answers: one probe in the background, shared by all who ask `/readyz`."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from sightline.engine.errors import ObjectMissing, ObjectRefused, Part, SightlineError
from sightline.engine.health import Health
from sightline.engine.ports import ObjectStore, VectorIndex
from sightline.engine.serving.pairs import ServingPairs

_LOG = logging.getLogger(__name__)
Probe = Callable[[], object]
"""Asks a part something cheap; raises when it is down."""
PROBE_TIMEOUT_S = 2.0
FRESH_S = 2.0
"""What a probe found is told for so long before the parts are asked anew."""
REMEDY = "it does not answer or refuses: `sightline doctor` says what to do, the log says why"
"""What everybody is told of a part that is down; what it said itself may name hosts and paths."""


def store_probe(store: ObjectStore, bucket: str) -> Probe:
    """Asks for an object that need not be there."""

    def probe() -> None:
        try:
            store.stat(bucket, "catalogue/readyz")
        except (ObjectMissing, ObjectRefused):
            return

    return probe


def index_probe(index: VectorIndex) -> Probe:
    """Asks for an image that need not be there."""
    return lambda: index.get(["readyz"])


STOPPED = "it met too many dead letters (`sightline dlq list`) or failed; the log says which"
"""What everybody is told of a loop that stopped."""


class Readiness:
    """Probes the parts and tells what `Health` knows of them; on one event loop.

    However many ask, the parts are asked at most once in `FRESH_S`, and a part that has not
    answered yet is not asked again.

    Args:
        health: what every part of this process reports to.
        probes: by part; a part without one is as it was last seen by whoever talked to it.
        threads: by part, for its probe alone: one that hangs must not make the others look down.
        pairs: what this process serves.
        learning: whether this API tells what was learned.
    """

    def __init__(
        self,
        health: Health,
        probes: Mapping[Part, Probe],
        threads: Mapping[Part, Executor],
        *,
        pairs: ServingPairs,
        learning: bool = False,
    ) -> None:
        self._health = health
        self._probes = probes
        self._pairs = pairs
        self._learning = learning
        self._told: dict[Part, str] = {}  # in the log
        self._threads = threads
        self._asked: dict[Part, asyncio.Future[object]] = {}
        self._probing: asyncio.Task[None] | None = None
        self._probed_at = -math.inf

    async def document(self, *, insider: bool) -> dict[str, Any]:
        """What `/readyz` says; why a part is down in its own words only to an insider."""
        await self._probed()
        parts: dict[str, dict[str, Any]] = {str(part): {"up": True, "reason": ""} for part in Part}
        for seen in self._health.parts():
            since = seen.since.isoformat()
            reason = seen.reason if seen.up or insider else REMEDY
            parts[str(seen.part)] = {"up": seen.up, "reason": reason, "since": since}
        serving = self._pairs.now()
        return {
            "ready": all(part["up"] for part in parts.values()),
            "parts": parts,
            "runtime": serving.embedder.runtime,
            "model": serving.model_digest,
            "released": serving.model,
            "generation": serving.spec.name,
            "number": serving.number,
            "learning": self._learning,
            "stopped": {
                name: reason if insider else STOPPED
                for name, reason in self._health.stopped().items()
            },
        }

    async def _probed(self) -> None:
        """Wait until the parts have been asked lately, by whomever."""
        if self._probing is None and time.monotonic() - self._probed_at < FRESH_S:
            return
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe(), name="readiness")
        await asyncio.shield(self._probing)  # whoever goes away leaves it to the others

    async def _probe(self) -> None:
        try:
            await asyncio.gather(*(self._ask(part, probe) for part, probe in self._probes.items()))
        finally:
            self._probed_at, self._probing = time.monotonic(), None

    async def _ask(self, part: Part, probe: Probe) -> None:
        asked = self._asked.get(part)
        if asked is None or asked.done():
            asked = asyncio.get_running_loop().run_in_executor(self._threads[part], probe)
            self._asked[part] = asked
        try:
            await asyncio.wait_for(asyncio.shield(asked), PROBE_TIMEOUT_S)
        except TimeoutError:
            self._down(part, f"no answer within {PROBE_TIMEOUT_S:g} s")
        except (SightlineError, OSError) as error:
            self._down(part, str(error))
        else:
            self._told.pop(part, None)
            self._health.up(part)

    def _down(self, part: Part, reason: str) -> None:
        if self._told.get(part) != reason:
            _LOG.warning("%s is down: %s", part, reason)
        self._told[part] = reason
        self._health.down(part, reason)
