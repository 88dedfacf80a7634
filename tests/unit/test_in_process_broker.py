"""What the in-process broker of the embedded stack is asked, and when."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sightline.engine.event_log.embedded import broker
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.schemas.topics import TOPICS

REQUESTS = ("rd_kafka_mock_topic_create", "rd_kafka_mock_group_initial_rebalance_delay_ms")
"""To the broker's thread, which answers them; `rd_kafka_mock_cluster_destroy` is one, too."""


class Recording:
    """librdkafka, which tells in order what it is asked."""

    def __init__(self, library: Any, asked: list[str]) -> None:
        self._library = library
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(name)
        return getattr(self._library, name)


def test_no_request_follows_another_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker's thread would overlook some of them for a second each."""
    asked: list[str] = []
    library = Recording(broker._library(), asked)
    monkeypatch.setattr(broker, "_library", lambda: library)
    monkeypatch.setattr(broker, "sleep", lambda _: asked.append("pause"))
    InProcessBroker(TOPICS).close()
    after = [then for name, then in pairwise(asked) if name in REQUESTS]
    assert after == ["pause"] * (len(TOPICS) + 1)
