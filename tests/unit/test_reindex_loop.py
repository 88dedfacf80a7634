"""What a process says of a re-index that it cannot begin."""

from __future__ import annotations

import threading

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import IndexOwned
from sightline.engine.object_store.lease import Lease
from sightline.infra.processes.reindex_loop import ReindexLoop
from sightline.stream_workers.reindexing.progress import ProgressRecord, filling_lease_key
from tests.generation_parts import BUCKET, INDEX, Deployment
from tests.unit.test_reindexing import asked


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A generation is to be filled, and its index cannot be opened."""
    made = Deployment()
    made.make_second()
    progress(made).ask(asked(generation="g2", seeded_from="g1"))
    opens = made.generations.open

    def owned(name: str) -> object:
        if name == "g2":
            raise IndexOwned("in use by process 7")
        return opens(name)

    monkeypatch.setattr(made.generations, "open", owned)
    return made


def progress(place: Deployment) -> ProgressRecord:
    """How far the second generation is."""
    return ProgressRecord(place.store, BUCKET, INDEX, "g2")


def trouble(place: Deployment) -> str:
    """What the command says that it waits for."""
    found = progress(place).find()
    assert found is not None
    return found.trouble


def test_what_keeps_the_work_from_beginning_is_told(place: Deployment) -> None:
    """Else the command shows nothing, for ever."""
    with pytest.raises(IndexOwned):
        ReindexLoop(place.node()).look(threading.Event())
    assert trouble(place) == "in use by process 7"


def test_who_cannot_begin_says_nothing_of_another_s_work(place: Deployment) -> None:
    """Another process has what this one lacks, and is at it."""
    other = Lease(place.store, BUCKET, filling_lease_key(INDEX, "g2"), lasts_s=6, clock=place.clock)
    assert other.take()
    with pytest.raises(IndexOwned):
        ReindexLoop(place.node()).look(threading.Event())
    assert trouble(place) == ""


def test_what_another_process_has_filled_is_not_begun(place: Deployment) -> None:
    """However fresh what was seen of the record is for others."""
    place.remember(60.0)
    assert place.serving.watched.find() is not None
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    ReindexLoop(place.node()).look(threading.Event())
    assert trouble(place) == ""


def test_an_index_that_is_being_made_is_looked_for_soon(
    place: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a generation waits for at first takes a moment; after ten seconds it is a failure."""
    monkeypatch.setattr(place.generations, "spec", lambda _: None)
    clock = ManualClock(place.clock.now())
    monkeypatch.setattr(place, "clock", clock)
    loop = ReindexLoop(place.node())
    loop.look(threading.Event())
    assert loop.is_soon
    clock.advance(10.0)
    loop.look(threading.Event())
    assert not loop.is_soon
