"""The status for a person."""

from __future__ import annotations

import json
from http import HTTPStatus

import urllib3
from rich.table import Table

from sightline.engine.owner import find
from sightline.engine.settings import Settings
from sightline.infra.status import Status

_TIMEOUT_S = 3.0


def table(status: Status) -> Table:
    """One row a hop."""
    rows = Table("hop", "topic", "lag", "oldest waiting", "rate")
    for hop in status.hops:
        waiting = "-" if hop.oldest_waiting_s is None else f"{hop.oldest_waiting_s:.1f} s"
        rows.add_row(hop.hop.name, hop.hop.topic, str(hop.lag), waiting, f"{hop.rate_per_s:.1f}/s")
    return rows


def generation_of(settings: Settings) -> str:
    """The generation that serves, as the running API tells it."""
    running = find(settings.data_directory)
    if running is None:
        return f"unknown: no API runs on {settings.data_directory}"
    try:
        answer = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False).request(
            "GET", f"{running.url}/readyz"
        )
    except urllib3.exceptions.HTTPError as error:
        return f"unknown: {running.url} does not answer ({error})"
    said = json.loads(answer.data)
    down = [name for name, part in said["parts"].items() if not part["up"]]
    ready = "ready" if answer.status == HTTPStatus.OK else f"down: {', '.join(down)}"
    return f"{said['generation']} on {said['runtime']}, {ready}"
