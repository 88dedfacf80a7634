"""The demo: a throw-away embedded stack, photos in, searches out, clicks in, triples out.

Photos come in on the backfill lane while searches and live uploads go on, so that what it prints
is freshness under load; with `exit_when_done` it proves itself and ends.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sightline.engine.settings import Mode, Settings
from sightline.infra.demo.client import DemoClient
from sightline.infra.demo.embedding import what_runs
from sightline.infra.demo.figures import Figures, feedback_table, figures_table
from sightline.infra.demo.node_thread import DemoFailed, NodeThread
from sightline.infra.demo.people import Feedback, demo_labels, let_people_search, true_labels
from sightline.infra.sample_photos.photo_folder import DRAWN_PHOTOS, PhotoFolder, synthetic_folder
from sightline.producers.backfill.run import run_backfill
from sightline.producers.connect import connect
from sightline.schemas.fields import Visibility

if TYPE_CHECKING:
    from sightline.infra.demo.learning import Loop
    from sightline.infra.demo.lesson import Lesson

INGEST_TIMEOUT_S = 1_800.0
LIVE_UPLOADS = 20
SEARCHES = 100
SINK_S = 3.0
"""Triples are in Parquet, where training reads them, after so long."""
_POLL_S = 0.25
_LIVE_UPLOAD_EVERY_S = 0.7


def run_demo(
    settings: Settings,
    photos: Path | None,
    stop: threading.Event,
    *,
    exit_when_done: bool,
    port: int,
    learn: bool = False,
    draw: int | None = None,
) -> None:
    """Run the main job on real input until `stop`, or until it has proved itself.

    Args:
        settings: whose parts that are no place or name of a server hold here, too.
        photos: a folder; None: pictures that the project draws itself.
        stop: ends it.
        exit_when_done: whether it ends once it has proved itself.
        port: of page and API; 0: any free.
        learn: whether clicks then make two models, each of which serves if the gate releases it.
        draw: so many pictures where there are no photos; None: 600.

    Raises:
        DemoFailed: a just-uploaded image was not found first, a deleted one still was, or clicks
            made no triple.
        RefusedToStart: the stack could not start.
    """
    console = Console()
    with tempfile.TemporaryDirectory(
        prefix="sightline-demo-", ignore_cleanup_errors=True
    ) as scratch:
        place = Path(scratch)
        lesson = _lesson(photos, place) if learn else None
        folder = lesson.site if lesson else _folder(photos, place / "drawn", draw)
        own = _throw_away(settings, place / "data", port)
        node = NodeThread(own, failed=stop.set)
        try:
            with console.status("starting; for the first time the model is converted, too"):
                url = node.start()
            with DemoClient(url) as client:
                console.print(what_runs(own.embedder, client.runtime()))
                _show(own, client, folder, console, stop)
                if lesson is not None:
                    _loop(
                        own, client=client, lesson=lesson, scratch=place, console=console, stop=stop
                    ).run()
                elif not stop.is_set():
                    feedback = _feedback(own, client, folder, console, stop)
                    if exit_when_done and not feedback.triples and not stop.is_set():
                        raise DemoFailed("people clicked, and no triple came of it")
                if stop.is_set():
                    return
                if exit_when_done:
                    _prove(client, console)
                else:
                    console.print(f"\nThe page: [bold]{client.url}/[/]   Ctrl-C stops.")
                    stop.wait()
        finally:
            node.stop()


def _lesson(photos: Path | None, scratch: Path) -> Lesson:
    from sightline.infra.demo.lesson import lesson_of  # noqa: PLC0415 - heavy

    return lesson_of(photos, scratch / "lesson")


def _loop(
    settings: Settings,
    *,
    client: DemoClient,
    lesson: Lesson,
    scratch: Path,
    console: Console,
    stop: threading.Event,
) -> Loop:
    from sightline.infra.demo.learning import Loop  # noqa: PLC0415 - heavy

    return Loop(
        settings=settings,
        url=client.url,
        lesson=lesson,
        folder=scratch,
        console=console,
        stop=stop,
    )


def _folder(photos: Path | None, drawn: Path, count: int | None) -> PhotoFolder:
    if photos is not None:
        return PhotoFolder(photos)
    return synthetic_folder(drawn, count or DRAWN_PHOTOS)


def _throw_away(settings: Settings, data: Path, port: int) -> Settings:
    return settings.model_copy(
        update={
            "mode": Mode.EMBEDDED,
            "data_directory": data,
            "index": settings.index.model_copy(update={"url": None, "directory": None}),
            "store": settings.store.model_copy(update={"directory": None}),
            "api": settings.api.model_copy(update={"port": port, "keys": ()}),
            "labels": demo_labels(settings.labels),
            "sink": settings.sink.model_copy(update={"max_age_s": SINK_S}),
        }
    )


def _show(
    settings: Settings,
    client: DemoClient,
    folder: PhotoFolder,
    console: Console,
    stop: threading.Event,
) -> None:
    started = time.monotonic()
    console.print(f"Searchable while it fills: [bold]{client.url}/[/]")
    figures = Figures(photos=len(folder))
    backfill = threading.Thread(
        target=_backfill, args=(settings, folder, stop), name="backfill", daemon=True
    )
    backfill.start()
    with Progress(
        TextColumn("indexing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    ) as progress:
        task = progress.add_task("photos", total=len(folder), rate="")
        next_upload = started
        while (done := client.settled()) < len(folder) and not stop.is_set():
            a_second = done / (time.monotonic() - started)
            progress.update(task, completed=done, rate=f"{a_second:.0f} a second")
            _check_deadline(started)
            if done and figures.first_search_s is None:
                client.search_by_upload(folder.sample(0))
                figures.first_search_s = time.monotonic() - started
                figures.first_search_of = done
            if figures.live_uploads < LIVE_UPLOADS and time.monotonic() >= next_upload:
                figures.live.append(client.live_upload(figures.live_uploads))
                next_upload = time.monotonic() + _LIVE_UPLOAD_EVERY_S
            stop.wait(_POLL_S)
        progress.update(task, completed=min(done, len(folder)))
    backfill.join()
    if stop.is_set():
        return
    figures.indexing_s = time.monotonic() - started
    figures.by_id, figures.by_upload = client.time_searches(folder, SEARCHES)
    client.forget_live_uploads()
    console.print(figures_table(figures))


def _check_deadline(started: float) -> None:
    if time.monotonic() - started > INGEST_TIMEOUT_S:
        raise DemoFailed(f"not every photo had an outcome after {INGEST_TIMEOUT_S:.0f} s")


def _backfill(settings: Settings, folder: PhotoFolder, stop: threading.Event) -> None:
    with connect(settings, source="/sightline/demo") as publisher:
        run_backfill(publisher, folder.path, visibility=Visibility.PUBLIC, stop=stop)


def _feedback(
    settings: Settings,
    client: DemoClient,
    folder: PhotoFolder,
    console: Console,
    stop: threading.Event,
) -> Feedback:
    with console.status("people search and click; triples come half a minute later"):
        feedback = let_people_search(settings, client.url, true_labels(folder), stop)
    console.print(feedback_table(feedback))
    return feedback


def _prove(client: DemoClient, console: Console) -> None:
    image_id, picture = client.upload_new()
    if client.search_by_upload(picture)[:1] != [image_id]:
        raise DemoFailed("a just-uploaded image was not found first")
    client.delete(image_id)
    if image_id in client.search_by_upload(picture):
        raise DemoFailed("a just-deleted image was still found")
    console.print("A just-uploaded image was found first; deleted, it was found no longer.")
