"""What the API tells of a generation that is being filled, read from the bucket."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.settings import Settings
from sightline.infra.views.stored_fillings import filling_of, stored_fillings
from sightline.stream_workers.reindexing.progress import FillingStep, ProgressRecord
from tests.indexed_images import NOON
from tests.patience import patient
from tests.unit.test_reindexing import asked, parity


class Bucket:
    """A deployment's bucket, in which generation `one` serves and `two` is being filled."""

    def __init__(self, tmp_path: Path) -> None:
        self.settings = Settings(data_directory=tmp_path)
        self.store = MemoryObjectStore()
        self.store.ensure_bucket(self.settings.store.bucket)
        self.record = ServingRecord.of(self.settings, self.store)
        first = ServingState.first(known("one"), NOON)
        self.record.begin(first.with_generation(known("two"), NOON, ""))
        self.fillings = stored_fillings(self.settings, self.store)

    def note(self, **said: Any) -> None:
        """Store how far `two` is."""
        ProgressRecord.of(self.settings, self.store, "two").ask(asked(**said))


def known(name: str) -> KnownGeneration:
    """A generation as the record has it."""
    return KnownGeneration(
        name=name,
        model=None,
        model_digest=name,
        group=name,
        stage=GenerationStage.READY if name == "one" else GenerationStage.FILLING,
        made_at=NOON,
    )


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """Nobody has noted anything yet."""
    return Bucket(tmp_path)


def test_what_is_done_in_a_time_gives_the_rate_and_what_is_left(bucket: Bucket) -> None:
    """300 of 1,000 images in 10 s: the others take 23 s."""
    noted_at = NOON + timedelta(seconds=10)
    bucket.note(step=FillingStep.PROVE, done=300, total=1000, noted_at=noted_at)
    found = bucket.fillings.now()
    assert found is not None
    assert (found.generation, found.by, found.step) == ("two", "features", "prove")
    assert (found.done, found.total, found.rate_per_s) == (300, 1000, 30.0)
    assert found.remaining_s == pytest.approx(700 / 30)


def test_nothing_is_told_before_somebody_asks_and_after_it_serves(bucket: Bucket) -> None:
    """A generation of the record is not being filled by that alone."""
    assert bucket.fillings.now() is None
    bucket.note()
    assert bucket.fillings.now() is not None
    bucket.record.change(lambda state: state.made_ready("two", NOON, ""))
    assert bucket.fillings.now() is None


@pytest.mark.parametrize("said", [{}, {"done": 5}, {"noted_at": NOON + timedelta(seconds=1)}])
def test_a_rate_that_nobody_can_know_is_not_told(said: dict[str, Any]) -> None:
    """No time has passed, or nothing is done."""
    found = filling_of(asked(**said))
    assert (found.rate_per_s, found.remaining_s) == (None, None)


def test_a_step_that_counts_no_images_has_no_end() -> None:
    """As when a search graph is built."""
    later = NOON + timedelta(seconds=1)
    assert filling_of(asked(done=5, noted_at=later)).remaining_s is None


def test_what_it_waits_for_and_why_it_was_refused_is_told() -> None:
    """Else a bar that stands still says nothing."""
    assert filling_of(asked(trouble="the broker")).trouble == "waits: the broker"
    assert filling_of(asked(parity=parity(passed=False))).trouble.startswith("refused: ")


def test_a_store_that_fails_or_hangs_holds_up_nobody_who_asks(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks while another looks is told what was found before; a failure is no error."""
    bucket.note()
    before = bucket.fillings.now()
    asked_the_store, answer = threading.Event(), threading.Event()

    def silent(*_: object, **__: object) -> bytes:
        asked_the_store.set()
        answer.wait(patient(60))
        raise PartUnavailable(Part.STORE, "it is away")

    monkeypatch.setattr(bucket.store, "get", silent)
    found = []
    thread = threading.Thread(target=lambda: found.append(bucket.fillings.now()))
    thread.start()
    assert asked_the_store.wait(patient(60))
    assert bucket.fillings.now() == before is not None
    answer.set()
    thread.join()
    assert found == [None]
