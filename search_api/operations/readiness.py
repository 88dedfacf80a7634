"""Whether each part answers: asked when `/readyz` is, together, each within a deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sightline.engine.errors import ObjectMissing, Part, SightlineError
from sightline.engine.health import Health
from sightline.engine.ports import Embedder, ObjectStore, VectorIndex
from sightline.engine.records import GenerationSpec

_LOG = logging.getLogger(__name__)
Probe = Callable[[], object]
"""Asks a part something cheap; raises when it is down."""
PROBE_TIMEOUT_S = 2.0
REMEDY = "it does not answer or refuses: `sightline doctor` says what to do, the log says why"
"""What everybody is told of a part that is down; what it said itself may name hosts and paths."""


def store_probe(store: ObjectStore, bucket: str) -> Probe:
    """Asks for an object that need not be there."""

    def probe() -> None:
        try:
            store.stat(bucket, "catalogue/readyz")
        except ObjectMissing:
            return

    return probe


def index_probe(index: VectorIndex) -> Probe:
    """Asks for an image that need not be there."""
    return lambda: index.get(["readyz"])


class Readiness:
    """Probes the parts and tells what `Health` knows of them.

    Args:
        probes: by part; a part without one is as it was last seen by whoever talked to it.
        learning: whether this API tells what was learned.
    """

    def __init__(
        self,
        health: Health,
        probes: Mapping[Part, Probe],
        *,
        embedder: Embedder,
        spec: GenerationSpec,
        learning: bool = False,
    ) -> None:
        self._health = health
        self._probes = probes
        self._embedder = embedder
        self._spec = spec
        self._learning = learning
        self._told: dict[Part, str] = {}  # in the log
        # A thread a part: one that hangs must not make the others look down.
        self._threads = {part: ThreadPoolExecutor(1, f"probe-{part}") for part in probes}

    async def document(self, *, insider: bool) -> dict[str, Any]:
        """What `/readyz` says; why a part is down in its own words only to an insider."""
        await asyncio.gather(*(self._ask(part, probe) for part, probe in self._probes.items()))
        parts: dict[str, dict[str, Any]] = {str(part): {"up": True, "reason": ""} for part in Part}
        for seen in self._health.parts():
            since = seen.since.isoformat()
            reason = seen.reason if seen.up or insider else REMEDY
            parts[str(seen.part)] = {"up": seen.up, "reason": reason, "since": since}
        return {
            "ready": all(part["up"] for part in parts.values()),
            "parts": parts,
            "runtime": self._embedder.runtime,
            "model": self._embedder.digest,
            "generation": self._spec.name,
            "learning": self._learning,
        }

    def close(self) -> None:
        """End the threads, but for one that hangs; repeated calls do nothing."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, part: Part, probe: Probe) -> None:
        try:
            asked = asyncio.get_running_loop().run_in_executor(self._threads[part], probe)
            await asyncio.wait_for(asked, PROBE_TIMEOUT_S)
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
