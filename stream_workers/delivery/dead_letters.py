"""What cannot be processed goes to a dead-letter topic, with a limit that stops the worker."""

from __future__ import annotations

import logging
import threading
from collections import deque

from sightline.engine.errors import DeadLetterLimit
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.records import Message
from sightline.schemas.dead_letters import MAX_FACT_CHARS, DeadLetterFacts
from sightline.schemas.topics import dead_letters_of
from sightline.stream_workers.delivery.outbox import Letter, Outbox

_log = logging.getLogger(__name__)


class DeadLetters:
    """Sends the original bytes, the facts in headers (docs/adr/0005); safe from several threads.

    A repeat (the same record after a restart) is a second dead letter with the same topic,
    partition and offset: readers count those distinct.
    """

    def __init__(
        self, outbox: Outbox, *, clock: Clock, metrics: Metrics, limit: int, window_s: float
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._limit = limit
        self._window_s = window_s
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()

    def send(
        self, message: Message, *, stage: str, error: str, reason: str, attempts: int = 1
    ) -> Letter:
        """Queue a dead letter; its acknowledgement must precede the commit of its offset.

        Raises:
            DeadLetterLimit: too many lately; this one was not sent, commit nothing past it.
        """
        self._count(f"{message.topic}/{message.partition}/{message.offset}: {reason}")
        facts = DeadLetterFacts(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            stage=stage,
            error=error,
            message=reason[:MAX_FACT_CHARS],
            attempts=attempts,
        )
        _log.warning("dead letter", extra=facts.model_dump(exclude={"message"}) | {"why": reason})
        self._metrics.dead_letters.labels(message.topic, error).inc()
        key = (message.key or b"").decode(errors="replace")
        headers = [*message.headers, *facts.headers()]
        return self._outbox.send(dead_letters_of(message.topic).name, key, message.value, headers)

    def _count(self, latest: str) -> None:
        with self._lock:
            now = self._clock.monotonic()
            while self._recent and self._recent[0] <= now - self._window_s:
                self._recent.popleft()
            if len(self._recent) >= self._limit:
                raise DeadLetterLimit(
                    f"more than {self._limit} dead letters within {self._window_s:g} s, which "
                    f"looks like a misconfiguration; nothing past this one was committed; latest: "
                    f"{latest[:300]}. Look with `sightline dlq list`, then start again, with a "
                    "higher worker.dead_letter_limit if the data is really that bad"
                )
            self._recent.append(now)
