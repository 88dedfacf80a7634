"""Publishes a catalogue that was there before: a directory or bucket, on the low-priority lane."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sightline.engine.errors import PermanentError, TransientError
from sightline.producers.backfill_files import (
    BackfillRefused,
    FileRefused,
    Files,
    Item,
    has_image_suffix,
    items_of,
    open_files,
)
from sightline.producers.backfill_record import BackfillSummary, End, Resume
from sightline.producers.catalogued import CataloguedImages, Known
from sightline.producers.images import ImagePublisher
from sightline.producers.manifest import read_manifest
from sightline.producers.pacing import Pace, patiently
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Visibility
from sightline.schemas.images import (
    Authority,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.indexed import Lane

Progress = Callable[[BackfillSummary], object]
_AHEAD = 4
"""Files handed to the threads beyond those being worked on, so that none waits for its next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """How a backfill publishes."""

    visibility: Visibility | None = None
    """Of images whose manifest says nothing; without a manifest it must be given."""
    lane: Lane = Lane.BACKFILL
    """The live lane is for a handful of images that must overtake a running backfill."""
    replace: bool = False
    """Also publish known images, at previous + 1; visibility, moderation and tags stay."""
    rate_per_s: float | None = None
    """At most so many images a second."""
    threads: int = 8
    """Files that are read, stored and waited for at once."""
    patience_s: float = 60.0
    """How long a part may fail before the backfill stops, to be resumed."""


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
    files = open_files(source, publisher.store, publisher.bucket)
    if manifest is None and options.visibility is None:
        raise BackfillRefused("without a manifest say who may see the images: public or private")
    if options.replace and known is None:
        raise BackfillRefused("replacing needs the index, to learn the present versions")
    rows = None if manifest is None else read_manifest(manifest)
    items = items_of(files, rows)
    run = _Run(publisher, files, options, known=known, catalogued=catalogued, stop=stop)
    job = {"source": files.name, "manifest": str(manifest), "replace": str(options.replace)}
    with Resume(state_file, job) as resume:
        summary = BackfillSummary(total=len(items))
        for item, ended in _in_threads(run, _todo(items, resume, summary), options, stop):
            if stop.is_set() and isinstance(ended.exception(), TransientError):
                continue  # given up on because we were told to stop: a later run resumes it
            end, reason = ended.result()
            summary.note(item.row.path, end, reason)
            if end is not End.FAILED:
                resume.finish(item.row.path)
            if progress is not None:
                progress(summary)
        if summary.done == summary.total and not summary.failures:
            resume.forget()
    return summary


def _todo(items: Iterable[Item], resume: Resume, summary: BackfillSummary) -> Iterator[Item]:
    for item in items:
        if item.row.path in resume.finished:
            summary.note(item.row.path, End.RESUMED)
        else:
            yield item


Ended = tuple[End, str]


def _in_threads(
    run: _Run, items: Iterator[Item], options: BackfillOptions, stop: threading.Event
) -> Iterator[tuple[Item, Future[Ended]]]:
    """Each item with its end, as they come; never more than a few in hand."""
    with _threads(options.threads) as pool:
        running: dict[Future[Ended], Item] = {}
        for item in items:
            if stop.is_set():
                break
            running[pool.submit(run.one, item)] = item
            if len(running) >= options.threads + _AHEAD:
                yield from _finished(running)
        while running:
            yield from _finished(running)


def _finished(running: dict[Future[Ended], Item]) -> Iterator[tuple[Item, Future[Ended]]]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(count, thread_name_prefix="backfill")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Run:
    """One backfill: from an item to its end."""

    def __init__(
        self,
        publisher: ImagePublisher,
        files: Files,
        options: BackfillOptions,
        *,
        known: Known | None,
        catalogued: CataloguedImages | None,
        stop: threading.Event,
    ) -> None:
        self._publisher = publisher
        self._files = files
        self._options = options
        self._known = known
        self._catalogued = catalogued
        self._stop = stop
        self._pace = Pace(options.rate_per_s, clock=publisher.clock, stop=stop)

    def one(self, item: Item) -> Ended:
        """Publish one item and wait for its acknowledgement.

        Raises:
            TransientError: a part failed for longer than our patience, or we were stopped.
        """
        if not item.named and not has_image_suffix(item.row.path):
            return End.UNSUPPORTED, "no still picture by its name"
        self._pace.wait()
        try:
            return self._patiently(lambda: self._publish(item))
        except ValidationError as error:
            return End.FAILED, str(ContractError.of(error))
        except PermanentError as error:
            return End.FAILED, str(error)

    def _publish(self, item: Item) -> Ended:
        reference, data = self._files.referred(item.row.path, item.image_id)
        if reference.size_bytes == 0:
            raise FileRefused("it is empty")
        state = _state_of(item, reference, self._options.visibility)
        present = self._known(item.image_id) if self._known and item.row.version is None else None
        if present is None:
            return self._send(state, data)
        same_bytes = _same_bytes(state.object, present.object)
        if same_bytes and (self._options.replace or _same_facts(state, present)):
            return End.KNOWN, ""
        if not self._options.replace:
            return End.DIFFERS, f"known at version {present.version}"
        return self._replace(present, reference, data)

    def _replace(
        self, present: ImageState, reference: ObjectReference, data: bytes | None
    ) -> Ended:
        if isinstance(present, ImageDeleted):
            raise FileRefused("the image is deleted; upload it to bring it back")
        if present.authority is not Authority.SIGHTLINE:
            same: dict[str, Any] = {n: getattr(present, n) for n in type(present).model_fields}
            update = {"object": reference, "version": present.version + 1}
            return self._send(ImageUploaded.model_validate(same | update), data)
        if self._catalogued is None:
            raise FileRefused("Sightline counts its versions, and the catalogue is not at hand")
        if data is not None:
            self._publisher.keep(reference, data)
        self._catalogued.replace_bytes(present.image_id, reference, lane=self._options.lane)
        return End.PUBLISHED, ""

    def _send(self, state: ImageUploaded, data: bytes | None) -> Ended:
        if data is not None:
            self._publisher.keep(state.object, data)
        self._publisher.publish(state, lane=self._options.lane).result()
        return End.PUBLISHED, ""

    def _patiently(self, action: Callable[[], Ended]) -> Ended:
        return patiently(
            action,
            patience_s=self._options.patience_s,
            clock=self._publisher.clock,
            stop=self._stop,
        )


def _state_of(
    item: Item, reference: ObjectReference, visibility: Visibility | None
) -> ImageUploaded:
    row = item.row
    return ImageUploaded(
        image_id=item.image_id,
        version=row.version or 0,
        authority=Authority.BACKFILL if row.version is None else Authority.OWNER,
        object=reference,
        visibility=row.visibility or visibility or Visibility.PRIVATE,
        tags=row.tags,
        owner_id=row.owner,
        group_id=row.group_id,
        attributes=row.attributes,
    )


def _same_facts(state: ImageState, present: ImageState) -> bool:
    """Whether a known image already is what would be said, whoever counts its versions."""
    said = {"tags", "visibility", "owner_id", "group_id", "attributes"}
    return state.model_dump(include=said) == present.model_dump(include=said)


def _same_bytes(new: ObjectReference, present: ObjectReference | None) -> bool:
    """By digest where both have one, else by place and size."""
    if present is None:
        return False
    if new.sha256 is not None and present.sha256 is not None:
        return new.sha256 == present.sha256
    return (new.bucket, new.key, new.size_bytes) == (
        present.bucket,
        present.key,
        present.size_bytes,
    )
