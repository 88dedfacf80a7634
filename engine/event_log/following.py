"""Follows a topic until told to stop: what comes is handed on, a broker that is down waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from sightline.engine.backoff import retry_transient
from sightline.engine.errors import TransientError
from sightline.engine.ports import LogFollower
from sightline.engine.records import Message

POLL_MESSAGES, POLL_S = 2_000, 0.5
T = TypeVar("T")
K = TypeVar("K", bound="Known")
_log = logging.getLogger(__name__)


def follow_until(
    stop: threading.Event,
    connect: Callable[[], LogFollower],
    take: Callable[[Sequence[Message]], object],
    *,
    who: str,
) -> None:
    """Hand on every batch, an empty one where nothing came, until `stop`.

    Args:
        stop: ends it, also while the broker is away.
        connect: opens the topic where reading begins.
        take: called with each batch, at least every `POLL_S` while the broker answers.
        who: names the reader in the log.
    """

    def patiently(action: Callable[[], T]) -> T:
        return retry_transient(
            action,
            stop=stop,
            failed=lambda error: _log.warning(
                "%s wait, since the broker does not answer: %s", who, error
            ),
        )

    try:
        with closing(patiently(connect)) as follower:
            while not stop.is_set():
                take(patiently(partial(follower.poll, POLL_MESSAGES, POLL_S)))
    except TransientError as error:
        _log.info("%s stop while the broker is away: %s", who, error)


class Known(Protocol):
    """What is known of a topic from its records."""

    def add(self, message: Message) -> None:
        """Take one record; repeats and unreadable ones change nothing."""


@dataclass(frozen=True, slots=True)
class Followed(Generic[K]):
    """A topic that is read on, and what is known of it so far."""

    known: K
    connect: Callable[[], LogFollower]
    """Opens the topic where reading begins."""
    who: str
    """Names the reader in the log."""

    def run(self, stop: threading.Event) -> None:
        """Take every record that comes, until `stop`; waits out a broker that is down."""
        follow_until(stop, self.connect, self._take, who=self.who)

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.known.add(message)
