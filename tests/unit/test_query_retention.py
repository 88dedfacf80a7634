"""Stored query pictures are kept for 30 days, and nothing else goes with them."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from sightline.engine.clock import ManualClock, SystemClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.search_api.search.query_retention import QueryRetention, forget_old_queries

BUCKET = "sightline"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryObjectStore:
    """A query picture and an image, both written just now."""
    store = DirectoryObjectStore(tmp_path)
    store.ensure_bucket(BUCKET)
    store.put(BUCKET, "queries/one", b"1")
    store.put(BUCKET, "images/one/one", b"1")
    return store


def days_later(days: int) -> ManualClock:
    """So long after now."""
    return ManualClock(SystemClock().now() + timedelta(days=days))


def test_a_query_picture_goes_after_30_days(store: DirectoryObjectStore) -> None:
    """Not a day before, once, and no image with it."""
    assert forget_old_queries(store, BUCKET, clock=days_later(29)) == 0
    assert forget_old_queries(store, BUCKET, clock=days_later(31)) == 1
    assert forget_old_queries(store, BUCKET, clock=days_later(31)) == 0
    assert [item.key for item in store.list(BUCKET, "")] == ["images/one/one"]


def test_a_store_that_is_away_is_asked_again_later(
    store: DirectoryObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop outlives it and ends when told to."""
    stop = threading.Event()

    def away(*_: object, **__: object) -> None:
        stop.set()
        raise PartUnavailable(Part.STORE, "refused")

    monkeypatch.setattr(store, "list", away)
    QueryRetention(store, BUCKET, days_later(31)).run(stop)
    assert stop.is_set()
