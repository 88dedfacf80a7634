"""The API's pools of threads, and room for work that nobody waits for."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import fields

import pytest

from sightline.engine.errors import Part, PartUnavailable
from sightline.search_api.threads.pools import ApiThreads
from sightline.search_api.threads.work_room import WorkRoom


def made() -> ApiThreads:
    """One thread wherever the size can be chosen."""
    return ApiThreads.made(searches=1, decoding=1, embedding=1, probed=[Part.STORE])


def test_closing_ends_every_pool() -> None:
    """Also one that is added to the record later; closing again does nothing."""
    threads = made()
    threads.close()
    threads.close()
    for field in fields(threads):
        pool = getattr(threads, field.name)
        for one in pool.values() if isinstance(pool, dict) else [pool]:
            with pytest.raises(PartUnavailable):
                one.submit(int)


def test_closing_finishes_writes_and_waits_for_no_probe() -> None:
    """A write that was taken is answered; a probe that hangs and an impression hold up nothing."""
    threads, hangs = made(), threading.Event()
    threads.probes[Part.STORE].submit(hangs.wait)
    waiting = threads.probes[Part.STORE].submit(int)
    write: Future[int] = threads.writes.submit(lambda: 1)
    threads.close()
    assert write.result(0) == 1
    assert waiting.cancelled()
    hangs.set()


def test_room_is_bounded_by_pieces_and_bytes() -> None:
    """What does not fit takes nothing; what ends makes room."""
    room = WorkRoom(max_pieces=2, max_bytes=10)
    assert room.take(6)
    assert not room.take(5)
    assert room.take(4)
    assert not room.fits(0)
    room.give(6)
    assert room.fits(6)


def test_waiting_for_the_room_to_empty_has_an_end() -> None:
    """It returns at once when nothing is unfinished, and when the time is over."""
    room = WorkRoom(max_pieces=1, max_bytes=1)
    assert room.wait_empty(0)
    room.take(1)
    assert not room.wait_empty(0)
