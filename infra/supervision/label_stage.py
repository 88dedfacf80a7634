"""Join and miner as processes: `sightline join`, `sightline mine`, and the children of `up`."""

from __future__ import annotations

import logging
import sys

from sightline.engine.connecting.connections import ensure_topics
from sightline.engine.errors import SettingsInvalid
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.logs import configure_logs
from sightline.engine.metrics import Metrics
from sightline.engine.settings import LabelSettings, Mode, Settings
from sightline.infra.supervision.child_process import end_with_parent, leave, read_line
from sightline.infra.supervision.label_children import FOLDER, StageChild
from sightline.infra.supervision.metrics_port import serve_metrics, serve_metrics_if_free
from sightline.schemas.labels import Stage
from sightline.schemas.topics import (
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED,
    SEARCHES_CLOSED_IMPORTED,
)
from sightline.stream_workers.labels.stage.process import StageProcess

_DRIVERS = ("faust", "mode", "aiokafka")
"""Loggers that tell of each of their parts' starts and stops."""
_log = logging.getLogger(__name__)


def run_stage(settings: Settings, stage: Stage, *, imported: bool = False) -> None:
    """One stage alone, until it is told to stop; any number of them share the partitions.

    Args:
        imported: of the topics that `sightline interactions import` writes.

    Raises:
        SettingsInvalid: embedded mode, where both are children of the owner.
    """
    if settings.mode is not Mode.SERVICES:
        raise SettingsInvalid(
            f'`sightline {stage}` alone needs mode = "services": in embedded mode `sightline up` '
            "runs join and miner as its children"
        )
    configure_logs()
    ensure_topics(settings)
    metrics, (port, name) = Metrics(), _metrics_port(settings.labels, stage)
    serve_metrics(metrics, port, setting=name)
    child = StageChild(
        stage=stage,
        kafka=settings.kafka,
        labels=settings.labels,
        data_directory=settings.data_directory / FOLDER,
    )
    _work(child, metrics, imported=imported)


def _metrics_port(labels: LabelSettings, stage: Stage) -> tuple[int | None, str]:
    """The port, and the setting that it is from."""
    if stage is Stage.JOIN:
        return labels.join_metrics_port, "labels.join_metrics_port"
    return labels.mine_metrics_port, "labels.mine_metrics_port"


def _work(child: StageChild, metrics: Metrics, *, imported: bool = False) -> None:
    interactions, closed = (
        (INTERACTIONS_IMPORTED, SEARCHES_CLOSED_IMPORTED)
        if imported
        else (INTERACTIONS, SEARCHES_CLOSED)
    )
    for driver in _DRIVERS:
        logging.getLogger(driver).setLevel(child.labels.driver_log_level)
    _log.info("%s begins", child.stage)
    process = StageProcess(
        kafka=child.kafka,
        log=KafkaEventLog(child.kafka),
        labels=child.labels,
        producer=KafkaEventProducer(child.kafka),
        interactions=interactions.name,
        closed=closed.name,
        data_directory=child.data_directory,
        run_id=child.run_id,
        metrics=metrics,
    )
    try:
        process.run(child.stage)
    finally:
        _log.info("%s ends", child.stage)


def main() -> None:
    """Runs one stage as a child process of `label_children.supervised`."""
    child = StageChild.of(read_line(sys.stdin.fileno()))
    configure_logs(child.log_level)
    end_with_parent(sys.stdin.fileno())
    metrics, (port, name) = Metrics(), _metrics_port(child.labels, child.stage)
    serve_metrics_if_free(metrics, port, setting=name, host=child.metrics_host)
    leave(lambda: _work(child, metrics))


if __name__ == "__main__":
    main()
