"""Publishes a catalogue that was there before: a directory or bucket, on the low-priority lane."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from sightline.engine.errors import TransientError
from sightline.producers.backfill.ends import Ended, FileEnd
from sightline.producers.backfill.files import (
    BackfillRefused,
    FoundFile,
    items_of,
    open_files,
)
from sightline.producers.backfill.items import BackfillOptions, ItemPublisher
from sightline.producers.backfill.manifest import read_manifest
from sightline.producers.backfill.record import BackfillSummary, Resume
from sightline.producers.images.catalogue_writes import Known
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility

__all__ = ["BackfillOptions", "Progress", "run_backfill"]

Progress = Callable[[BackfillSummary], object]
_AHEAD = 4
"""Files handed to the threads beyond those being worked on, so that none waits for its next."""


def run_backfill(
    publisher: ImagePublisher,
    source: Path | str,
    *,
    manifest: Path | None = None,
    visibility: Visibility | None = None,
    options: BackfillOptions | None = None,
    known: Known | None = None,
    catalogued: CataloguedImages | None = None,
    state_file: Path | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> BackfillSummary:
    """Publish every image of a directory or `s3://bucket/prefix`; every file comes to one end.

    Images without a version in the manifest are published at version 0, which inserts what is
    unknown and changes nothing else, so a repeat is harmless. Versions in the manifest make the
    images `owner`'s (docs/images.md).

    Args:
        publisher: to the log and the store.
        source: a directory, whose files go into our bucket, or `s3://…`, referred to in place.
        manifest: CSV, JSON lines or Parquet; only its rows are published.
        visibility: short for `options.visibility`.
        options: lane, rate, patience and so on.
        known: an image's present state, from the index; needed by `replace`, else it only counts
            what is known already and what of it differs.
        catalogued: replaces images whose versions Sightline counts.
        state_file: notes what is finished; a run that was interrupted goes on after it. It is
            removed when a run ends without a failure.
        progress: called after each file, in one thread.
        stop: ends the run early; what is in flight is finished.

    Raises:
        BackfillRefused, ManifestInvalid: nothing was published; the message says what to do.
        PartUnavailable: store or broker failed for `patience_s`; run it again to resume.
    """
    options = options or BackfillOptions(visibility=visibility)
    stop = stop or threading.Event()
    files = open_files(
        source,
        publisher.store,
        publisher.bucket,
        max_bytes=options.max_bytes,
        hidden=options.hidden,
    )
    if manifest is None and options.visibility is None:
        raise BackfillRefused("without a manifest say who may see the images: public or private")
    if options.replace and known is None:
        raise BackfillRefused("replacing needs the index, to learn the present versions")
    rows = None if manifest is None else read_manifest(manifest)
    items = items_of(files, rows)
    run = ItemPublisher(publisher, files, options, known=known, catalogued=catalogued, stop=stop)
    job = {"source": files.name, "manifest": str(manifest), "replace": str(options.replace)}
    with Resume(state_file, job) as resume:
        summary = BackfillSummary(total=len(items))
        for item, ended in _in_threads(run, _todo(items, resume, summary), options, stop):
            if stop.is_set() and isinstance(ended.exception(), TransientError):
                continue  # given up on because we were told to stop: a later run resumes it
            end, reason = ended.result()
            summary.note(item.row.path, end, reason)
            if end not in {FileEnd.FAILED, FileEnd.SKIPPED}:
                resume.finish(item.row.path)
            if progress is not None:
                progress(summary)
        if summary.done == summary.total and not summary.failures:
            resume.forget()
    return summary


def _todo(
    items: Iterable[FoundFile], resume: Resume, summary: BackfillSummary
) -> Iterator[FoundFile]:
    for item in items:
        if item.row.path in resume.finished:
            summary.note(item.row.path, FileEnd.RESUMED)
        else:
            yield item


def _in_threads(
    run: ItemPublisher, items: Iterator[FoundFile], options: BackfillOptions, stop: threading.Event
) -> Iterator[tuple[FoundFile, Future[Ended]]]:
    """Each item with its end, as they come; never more than a few in hand."""
    with _threads(options.threads) as pool:
        running: dict[Future[Ended], FoundFile] = {}
        for item in items:
            if stop.is_set():
                break
            running[pool.submit(run.one, item)] = item
            if len(running) >= options.threads + _AHEAD:
                yield from _finished(running)
        while running:
            yield from _finished(running)


def _finished(running: dict[Future[Ended], FoundFile]) -> Iterator[tuple[FoundFile, Future[Ended]]]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(count, thread_name_prefix="backfill")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
