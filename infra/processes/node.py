"""The processes that run: worker and API in one, or each alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from sightline.engine.connecting import owner
from sightline.engine.errors import SettingsInvalid
from sightline.engine.garbage_collection import collect_garbage_seldom
from sightline.engine.logs import configure_logs
from sightline.engine.settings import Mode, Settings
from sightline.infra.processes.http_server import bind, serve, url_of
from sightline.infra.processes.owner_routes import owner_router
from sightline.infra.processes.reconciling import reconcile, unpublished_loops
from sightline.infra.processes.sweeping import sweep_loops
from sightline.infra.supervision.loops import Loop, run_together
from sightline.infra.wiring.embedded_parts import EmbeddedParts
from sightline.infra.wiring.parts import Parts
from sightline.search_api.app import create_app
from sightline.search_api.search.query_retention import QueryRetention

if TYPE_CHECKING:
    import socket

Announce = Callable[[str], object]


def parts_for(settings: Settings) -> Parts:
    """The parts of this mode: the embedded stack brings its own broker, journal and store."""
    return EmbeddedParts(settings) if settings.mode is Mode.EMBEDDED else Parts(settings)


def run_node(
    settings: Settings, stop: threading.Event, *, announce: Announce, log_level: str = "INFO"
) -> None:
    """Worker, API, join and miner and, with real services, the bucket bridge, until `stop`.

    Args:
        announce: told the API's address once it answers.
        log_level: of the process.

    Raises:
        RefusedToStart: settings, index or broker; the message says what to do.
        SightlineError: a loop could not go on; the others were stopped first.
    """
    configure_logs(log_level)
    with (
        closing(bind(settings.api.host, settings.api.port)) as listener,
        parts_for(settings) as parts,
    ):
        parts.ensure_topics()
        loops = {"worker": parts.worker().run} | _api_loops(parts, listener, announce)
        if settings.mode is Mode.SERVICES:
            loops["bridge"] = parts.bridge().run
        _run(loops | parts.loops() | parts.label_stage_loops(), stop, parts)


def run_worker(settings: Settings, stop: threading.Event) -> None:
    """The index worker alone; any number of them share the work."""
    _need_shared_index(settings, "worker")
    configure_logs()
    with Parts(settings) as parts:
        parts.ensure_topics()
        parts.serve_metrics(settings.worker.metrics_port)
        _run({"worker": parts.worker().run} | parts.loops(), stop, parts)


def run_api(settings: Settings, stop: threading.Event, *, announce: Announce) -> None:
    """The API alone; any number of them answer alike."""
    _need_shared_index(settings, "api")
    configure_logs()
    with (
        closing(bind(settings.api.host, settings.api.port)) as listener,
        Parts(settings) as parts,
    ):
        parts.ensure_topics()
        _run(_api_loops(parts, listener, announce) | parts.loops(), stop, parts)


def run_bridge(settings: Settings, stop: threading.Event) -> None:
    """The bucket bridge alone."""
    if settings.mode is not Mode.SERVICES:
        raise SettingsInvalid('the bridge needs mode = "services": the embedded store is a folder')
    configure_logs()
    with Parts(settings) as parts:
        parts.ensure_topics()
        _run({"bridge": parts.bridge().run}, stop, parts)


def _api_loops(parts: Parts, listener: socket.socket, announce: Announce) -> dict[str, Loop]:
    retention = QueryRetention(parts.store, parts.settings.store.bucket, parts.clock)
    loops = {"api": _api_loop(parts, listener, announce), "query-retention": retention.run}
    return loops | unpublished_loops(parts) | sweep_loops(parts) | parts.labels.api_loops()


def _api_loop(parts: Parts, listener: socket.socket, announce: Announce) -> Loop:
    settings = parts.settings
    app = create_app(parts.api())
    app.include_router(owner_router(parts.producer, parts.index, partial(reconcile, parts)))

    def ready() -> None:
        owner.announce(
            settings.data_directory,
            owner.Owner(
                pid=os.getpid(),
                url=url_of(listener),
                bootstrap_servers=parts.kafka.bootstrap_servers,
            ),
        )
        announce(url_of(listener))

    def loop(stop: threading.Event) -> None:
        try:
            serve(app, listener, stop, ready=ready, settings=settings.api)
        finally:
            owner.withdraw(settings.data_directory)

    return loop


def _run(loops: dict[str, Loop], stop: threading.Event, parts: Parts) -> None:
    collect_garbage_seldom()

    def stopped(name: str, reason: str) -> None:
        parts.health.stop(name, reason)
        parts.metrics.loops_stopped.labels(name).set(1)

    run_together(loops, stop, stopped=stopped)


def _need_shared_index(settings: Settings, command: str) -> None:
    if settings.mode is not Mode.SERVICES or settings.index.url is None:
        raise SettingsInvalid(
            f'`sightline {command}` alone needs mode = "services" and index.url, a Qdrant server: '
            "the embedded index has one owner process; run `sightline up` instead"
        )
