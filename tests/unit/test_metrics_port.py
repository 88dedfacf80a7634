"""Metrics on a port of their own: served, refused where the port is taken, or done without."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from sightline.engine.errors import SettingsInvalid
from sightline.engine.metrics import Metrics
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.local.free_ports import free_port
from sightline.infra.supervision.label_children import StageChild
from sightline.infra.supervision.metrics_port import serve_metrics, serve_metrics_if_free
from sightline.schemas.labels import Stage

HOST = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server((HOST, 0)) as server:
        yield int(server.getsockname()[1])


def test_metrics_are_served() -> None:
    """In Prometheus' text form."""
    metrics, port = Metrics(), free_port()
    metrics.retractions.labels("done").inc()
    serve_metrics(metrics, port, setting="sink.metrics_port", host=HOST)
    assert 'sightline_retractions_total{result="done"} 1' in httpx.get(f"http://{HOST}:{port}").text


def test_a_command_refuses_a_port_that_is_taken(taken: int) -> None:
    """It names the setting."""
    with pytest.raises(SettingsInvalid, match=rf"port {taken} .* give sink\.metrics_port"):
        serve_metrics(Metrics(), taken, setting="sink.metrics_port", host=HOST)


def test_a_child_works_without(taken: int, caplog: pytest.LogCaptureFixture) -> None:
    """It says so."""
    with caplog.at_level(logging.WARNING):
        serve_metrics_if_free(Metrics(), taken, setting="labels.join_metrics_port", host=HOST)
    assert "labels.join_metrics_port" in caplog.text


def test_a_child_is_told_everything(tmp_path: Path) -> None:
    """What it reads from its line is what its parent wrote, secrets too."""
    child = StageChild(
        stage=Stage.MINE,
        kafka=KafkaSettings(sasl_password=SecretStr("hidden"), ca_file=tmp_path / "ca.pem"),
        labels=LabelSettings(driver_log_level="INFO"),
        data_directory=tmp_path,
        run_id="run",
        log_level="ERROR",
        metrics_host="::1",
    )
    assert StageChild.of(child.line()) == child
