"""The processes that run: worker and API in one, or each alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import TYPE_CHECKING

from sightline.engine.connecting import owner
from sightline.engine.errors import SettingsInvalid
from sightline.engine.garbage_collection import collect_garbage_seldom
from sightline.engine.logs import configure_logs
from sightline.engine.private_files import keep_private
from sightline.engine.serving.untold_steps import StepTelling
from sightline.engine.settings import Mode, Settings
from sightline.infra.processes.generation_workers import GenerationWorkers
from sightline.infra.processes.group_forgetting import GroupForgetting
from sightline.infra.processes.http_server import bind, serve, url_of
from sightline.infra.processes.journal_keeping import keep_journal
from sightline.infra.processes.judgement_keeping import keep_judgements
from sightline.infra.processes.owner_routes import owner_router
from sightline.infra.processes.reindex_loop import ReindexLoop
from sightline.infra.processes.rolling_out import rollout_loops
from sightline.infra.processes.sweeping import sweep_loops
from sightline.infra.supervision.loops import Loop, begun_anew, run_together
from sightline.infra.supervision.metrics_port import serve_metrics
from sightline.infra.wiring.api_and_bridge import api_dependencies, bucket_bridge
from sightline.infra.wiring.embedded import embedded_node
from sightline.infra.wiring.label_followers import LabelFollowers, label_followers
from sightline.infra.wiring.label_stages import stage_loops
from sightline.infra.wiring.node import Node
from sightline.infra.wiring.reconciling import reconcile, unpublished_loops
from sightline.infra.wiring.retraining import retraining_loops
from sightline.infra.wiring.services import services_node
from sightline.search_api.app import create_app
from sightline.search_api.search.query_retention import QueryRetention

if TYPE_CHECKING:
    import socket

Announce = Callable[[str], object]
_NEEDED = frozenset({"generations", "api", "bridge", "journal", "kept judgements"})
"""The loops that a process does not go on without: where one fails, all end."""


def opened_node(settings: Settings) -> AbstractContextManager[Node]:
    """The parts of this mode: the embedded stack brings its own broker, journal and store.

    What an embedded node writes from then on is its user's alone.
    """
    if settings.mode is not Mode.EMBEDDED:
        return services_node(settings)
    keep_private()
    return embedded_node(settings)


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
        opened_node(settings) as node,
    ):
        followers = label_followers(node.events, node.watch)
        loops = _feeding(node) | _api_loops(node, followers, listener, announce)
        if settings.mode is Mode.SERVICES:
            loops["bridge"] = bucket_bridge(node).run
        loops |= _journal_loops(node) | stage_loops(node) | retraining_loops(node)
        _run(loops, stop, node)


def run_worker(settings: Settings, stop: threading.Event) -> None:
    """The index worker alone; any number of them share the work."""
    _need_shared_index(settings, "worker")
    configure_logs()
    with services_node(settings) as node:
        port = settings.worker.metrics_port
        serve_metrics(node.watch.metrics, port, setting="worker.metrics_port")
        _run(_feeding(node), stop, node)


def run_api(settings: Settings, stop: threading.Event, *, announce: Announce) -> None:
    """The API alone; any number of them answer alike."""
    _need_shared_index(settings, "api")
    configure_logs()
    with (
        closing(bind(settings.api.host, settings.api.port)) as listener,
        services_node(settings) as node,
    ):
        _run(
            _api_loops(node, label_followers(node.events, node.watch), listener, announce),
            stop,
            node,
        )


def run_bridge(settings: Settings, stop: threading.Event) -> None:
    """Runs the bucket bridge in this process, without worker and API."""
    if settings.mode is not Mode.SERVICES:
        raise SettingsInvalid('the bridge needs mode = "services": the embedded store is a folder')
    configure_logs()
    with services_node(settings) as node:
        _run({"bridge": bucket_bridge(node).run}, stop, node)


def _feeding(node: Node) -> dict[str, Loop]:
    """What applies the log to the index: image events and decisions, to every generation."""
    telling = StepTelling(node.serving.watched, node.events.producer, node.watch.clock)
    return {
        "generations": GenerationWorkers(node).run,
        "reindex": ReindexLoop(node).run,
        "step telling": telling.run,
        "group forgetting": GroupForgetting(node.serving.watched, node.events.log).run,
    }


def _journal_loops(node: Node) -> dict[str, Loop]:
    """What keeps the embedded journal; nothing where the log keeps itself."""
    events, images = node.events, node.publishing.unpublished_images
    if events.journal is None or events.seal is None:
        return {}
    left = (node.publishing.unpublished_decisions, images)  # what hides comes first
    written = (events.journal, events.log, events.worker_producer, events.seal)
    indexes = node.serving.fed_indexes
    return {
        "journal": partial(keep_journal, events.journal, indexes, events.producer, left),
        "kept judgements": partial(keep_judgements, *written),
    }


def _api_loops(
    node: Node, followers: LabelFollowers, listener: socket.socket, announce: Announce
) -> dict[str, Loop]:
    return {"api": _api_loop(node, followers, listener, announce)} | beside_api(node, followers)


def beside_api(node: Node, followers: LabelFollowers) -> dict[str, Loop]:
    """What runs in each process that has an API, also where it is alone there."""
    retention = QueryRetention(node.store, node.settings.store.bucket, node.watch.clock)
    loops: dict[str, Loop] = {"query-retention": retention.run}
    loops |= (
        unpublished_loops(node.settings, node.publishing) | sweep_loops(node) | followers.loops()
    )
    return loops | rollout_loops(node, followers.search_stats.stats)


def _api_loop(
    node: Node, followers: LabelFollowers, listener: socket.socket, announce: Announce
) -> Loop:
    settings = node.settings
    app = create_app(api_dependencies(node, followers))
    app.include_router(owner_router(node.events.producer, node.index, partial(reconcile, node)))

    def ready() -> None:
        owner.announce(
            settings.data_directory,
            owner.Owner(
                pid=os.getpid(),
                url=url_of(listener),
                bootstrap_servers=node.events.kafka.bootstrap_servers,
            ),
        )
        announce(url_of(listener))

    def loop(stop: threading.Event) -> None:
        try:
            serve(app, listener, stop, ready=ready, settings=settings.api)
        finally:
            owner.withdraw(settings.data_directory)

    return loop


def _run(loops: dict[str, Loop], stop: threading.Event, node: Node) -> None:
    """Run them until `stop`; also what does not search looks into the index that serves."""
    collect_garbage_seldom()
    follower = node.serving.follower(node.settings, node.watch)

    def stopped(name: str, reason: str) -> None:
        node.watch.health.stop(name, reason)
        node.watch.metrics.loops_stopped.labels(name).set(1)

    def resumed(name: str) -> None:
        node.watch.health.resume(name)
        node.watch.metrics.loops_stopped.labels(name).set(0)

    every = loops | {"serving": follower.follow}
    beside = {name: loop for name, loop in every.items() if name not in _NEEDED}
    anew = begun_anew(beside, stopped=stopped, resumed=resumed)
    run_together(every | anew, stop, stopped=stopped)


def _need_shared_index(settings: Settings, command: str) -> None:
    if settings.mode is not Mode.SERVICES or settings.index.url is None:
        raise SettingsInvalid(
            f'`sightline {command}` alone needs mode = "services" and index.url, a Qdrant server: '
            "the embedded index has one owner process; run `sightline up` instead"
        )
