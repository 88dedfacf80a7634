"""A status report in, the table that `sightline status` prints out."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

import urllib3
from pydantic import ValidationError
from rich.table import Table

from sightline.engine.connecting.connections import connect_object_store, owner_headers
from sightline.engine.connecting.owner import find_owner
from sightline.engine.errors import TransientError, Unreadable
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.values import KnownGeneration
from sightline.engine.settings import Settings
from sightline.infra.reporting.status import Status
from sightline.search_api.http.documents.readiness import ReadinessDocument
from sightline.stream_workers.labels.sink.last_retraction import read_last

_TIMEOUT_S = 3.0


def status_table(status: Status) -> Table:
    """Builds the table: one row for each hop."""
    rows = Table("hop", "topic", "lag", "oldest waiting", "rate")
    for hop in status.hops:
        waiting = "-" if hop.oldest_waiting_s is None else f"{hop.oldest_waiting_s:.1f} s"
        rows.add_row(hop.hop.name, hop.hop.topic, str(hop.lag), waiting, f"{hop.rate_per_s:.1f}/s")
    return rows


def generation_of(settings: Settings) -> str:
    """The generation that serves and its model, as the API tells it.

    Asked is the API at `api.url`, else the one that runs on the same data directory.
    """
    running = find_owner(settings.data_directory)
    url = settings.api.url or (running.url if running else None)
    if url is None:
        return f"unknown: no API runs on {settings.data_directory}, and api.url names none"
    try:
        answer = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False).request(
            "GET", f"{url.rstrip('/')}/readyz", headers=owner_headers(settings)
        )
    except urllib3.exceptions.HTTPError as error:
        return f"unknown: {url} does not answer ({error})"
    try:
        return _said(ReadinessDocument.model_validate_json(answer.data))
    except ValidationError:
        return f"unknown: {url} answers {answer.status}, and not as the API does"


def _said(told: ReadinessDocument) -> str:
    down = [name for name, part in told.parts.items() if not part.up]
    state = "ready" if told.ready else f"down: {', '.join(down)}"
    state += "".join(f"; {name} stopped: {why}" for name, why in told.stopped.items())
    model = told.released or told.model
    changes = f", number {told.number}" if told.number > 1 else ""
    return f"{told.generation} of model {model} on {told.runtime}{changes}, {state}"


def recorded_generations(settings: Settings) -> tuple[KnownGeneration, ...]:
    """The generations of the record; none where it cannot be read, or there is none yet."""
    with closing(connect_object_store(settings)) as store:
        try:
            record = ServingRecord.of(settings, store)
            found = record.find()
        except (TransientError, Unreadable):
            return ()
    return () if found is None else found.state.generations


def retraction_of(settings: Settings, now: datetime) -> str:
    """When triples were last taken back, as the store tells it."""
    with closing(connect_object_store(settings)) as store:
        try:
            last = read_last(store, settings.store.bucket)
        except TransientError as error:
            return f"unknown: {error}"
    if last is None:
        return "never yet"
    ago_s = (now - last.finished_at).total_seconds()
    return (
        f"{ago_s:.0f} s ago; {last.triples_retracted} triples taken back, "
        f"{last.rows_removed} rows removed"
    )
