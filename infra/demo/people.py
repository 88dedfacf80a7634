"""Simulated people on the demo's stack search and click; what becomes of it is read back."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx

from sightline.engine.connecting.connections import open_event_log
from sightline.engine.csv_columns import read_columns
from sightline.engine.ports import EventLog
from sightline.engine.settings import LabelSettings, Settings
from sightline.infra.demo.patient_client import PatientClient
from sightline.infra.sample_photos.photo_folder import PhotoFolder
from sightline.infra.sample_photos.synthetic_photos import KINDS
from sightline.producers.click_simulator.api_driver import ApiDriver
from sightline.producers.click_simulator.user_model import UserModel
from sightline.producers.images.ids import id_of_file
from sightline.schemas.labels import SearchesClosed, Stage, TripleMined, Verdict
from sightline.schemas.registry import decode
from sightline.schemas.topics import EPOCHS_DONE, SEARCHES_CLOSED, TRAINING_TRIPLES
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.stage.done_topic import done_ranges

PEOPLE_S = 10.0
SEARCHES_PER_S = 10.0
ACTORS = 25
SEED = 20_260_301
SEARCHES_A_VISIT = 4
"""More of them within seconds look like a robot's."""
MANIFEST = "manifest.csv"
IMPATIENT = UserModel(look_ms=300.0, dwell_relevant_ms=2_000.0, dwell_irrelevant_ms=300.0)
"""People whose visits fit into a window of 20 s."""
_POLL_S = 1.0
_PATIENCE_S = 30.0


def demo_labels(labels: LabelSettings) -> LabelSettings:
    """The rules of a demo: triples come half a minute after the clicks, not 45 minutes."""
    return labels.model_copy(
        update={
            "epoch_s": 5.0,
            "attribution_window_s": 20.0,
            "lateness_s": 2.0,
            "tick_s": 1.0,
            "long_dwell_s": 1.0,
            "examined_s": 0.5,
            "supervised": True,
        }
    )


def true_labels(folder: PhotoFolder) -> dict[str, str]:
    """Image id to what is on it: from a manifest beside the photos, else from their names.

    The drawn pictures are named after what is on them. Of photos that nobody labelled, those of one
    folder count as alike.
    """
    for place in (folder.path, folder.path.parent):
        labels = _of_manifest(folder, place)
        if labels is not None:
            return labels
    return {id_of_file(file.as_posix()): _of_name(file) for file in folder.relative_files()}


def _of_name(file: Path) -> str:
    kind = file.name.split("-")[0]
    return kind if kind in KINDS else file.parent.as_posix()


def _of_manifest(folder: PhotoFolder, place: Path) -> dict[str, str] | None:
    """The labels of a manifest; None: there is none that has any, such as one for a backfill."""
    try:
        rows = read_columns(place / MANIFEST, ("image", "label"))
    except (OSError, ValueError):
        return None
    images = ((place / name, label) for name, label in rows)
    return {
        id_of_file(image.relative_to(folder.path).as_posix()): label
        for image, label in images
        if image.is_relative_to(folder.path)
    }


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """Counts what the simulated people did, and what was made of it."""

    searches: int
    acts: int
    shown: int = 0
    clicked: int = 0
    triples: int = 0
    waited_s: float = 0.0
    """From the last click to the last triple."""

    @property
    def ctr(self) -> float:
        """Distinct clicked images ÷ images shown, bots excluded."""
        return self.clicked / self.shown if self.shown else 0.0


def let_people_search(
    settings: Settings, url: str, labels: Mapping[str, str], stop: threading.Event
) -> Feedback:
    """Search and click for `PEOPLE_S`, then wait until everything of it is mined.

    Raises:
        SightlineError: the API refused, or did not answer.
    """
    random = Random(SEED)  # noqa: S311 - a simulation
    anchors, window_s = sorted(labels), settings.labels.attribution_window_s
    searches = acts = 0
    with httpx.Client(base_url=url, timeout=30.0) as client:
        patient, window_ms = PatientClient(client, stop), round(window_s * 1_000)
        driver = ApiDriver(patient, labels, model=IMPATIENT, leaves_after_ms=window_ms)
        until = time.monotonic() + PEOPLE_S
        while time.monotonic() < until and not stop.wait(1 / SEARCHES_PER_S):
            visitor = f"visitor-{random.randrange(ACTORS)}"
            acts += driver.search_and_click(random.choice(anchors), session_id=visitor)
            searches += 1
    feedback = Feedback(searches=searches, acts=acts)
    return _when_mined(settings, feedback, driver.truth.searches, stop)


def let_people_teach(
    settings: Settings,
    url: str,
    labels: Mapping[str, str],
    anchors: Sequence[str],
    stop: threading.Event,
    *,
    seed: int,
) -> Feedback:
    """Search by each anchor in turn, as fast as the API answers; then wait as `let_people_search`.

    Args:
        settings: of the stack.
        url: of its API.
        labels: image id to what is on it.
        anchors: ids of the images that are asked by; nobody asks by others.
        stop: ends it early.
        seed: of what people do.

    Raises:
        SightlineError: the API refused, or did not answer.
    """
    window_ms = round(settings.labels.attribution_window_s * 1_000)
    searches = acts = 0
    with httpx.Client(base_url=url, timeout=30.0) as client:
        patient = PatientClient(client, stop)
        driver = ApiDriver(patient, labels, model=IMPATIENT, seed=seed, leaves_after_ms=window_ms)
        for anchor in anchors:
            if stop.is_set():
                break
            visitor = f"learner-{seed}-{searches // SEARCHES_A_VISIT}"
            acts += driver.search_and_click(anchor, session_id=visitor)
            searches += 1
    feedback = Feedback(searches=searches, acts=acts)
    return _when_mined(settings, feedback, driver.truth.searches, stop)


def _when_mined(
    settings: Settings, feedback: Feedback, theirs: Collection[str], stop: threading.Event
) -> Feedback:
    """Polls the miner's done epochs; what there is when the deadline passes."""
    log, rules = open_event_log(settings), LabelRules.of(settings.labels)
    started = time.monotonic()
    epoch = rules.epoch_of(round(time.time() * 1_000))
    closes_in_s = rules.closes_at(epoch) / 1_000 - time.time()
    deadline = started + closes_in_s + _PATIENCE_S
    while not _mined(log, epoch) and time.monotonic() < deadline and not stop.wait(_POLL_S):
        pass
    shown, clicked = _pages(log, theirs)
    return Feedback(
        searches=feedback.searches,
        acts=feedback.acts,
        shown=shown,
        clicked=clicked,
        triples=_triples(log),
        waited_s=time.monotonic() - started,
    )


def _mined(log: EventLog, epoch: int) -> bool:
    found = list(log.read([EPOCHS_DONE.name]))
    partitions = log.partition_count(SEARCHES_CLOSED.name)
    runs = {_run_of(message.value) for message in found}
    return any(
        len(done) == partitions and all(max(d).epoch >= epoch for d in done.values())
        for run in runs
        for done in [done_ranges(found, Stage.MINE, SEARCHES_CLOSED.name, run_id=run)]
    )


def _run_of(value: bytes | None) -> str | None:
    data = decode(value).data
    return getattr(data, "run_id", None)


def _pages(log: EventLog, theirs: Collection[str]) -> tuple[int, int]:
    shown = clicked = 0
    for message in log.read([SEARCHES_CLOSED.name]):
        data = decode(message.value).data
        for search in data.searches if isinstance(data, SearchesClosed) else ():
            if search.verdict is Verdict.PERSON and search.search_id in theirs:
                shown += len(search.shown)
                clicked += sum(image.clicks > 0 for image in search.shown)
    return shown, clicked


def _triples(log: EventLog) -> int:
    events = (decode(m.value) for m in log.read([TRAINING_TRIPLES.name]))
    return len({event.id for event in events if isinstance(event.data, TripleMined)})
