"""`make up` and `make down`: the services outlive the process, and keep data, ports and keys."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sightline.engine.event_log.kafka.diagnosis import broker_answers
from sightline.infra.local import services
from sightline.infra.local.free_ports import LOOPBACK


def test_up_twice_then_down_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A repeat changes nothing; a new start finds the same keys, and another port if it must."""
    monkeypatch.setattr(services, "DIRECTORY", tmp_path)
    try:
        first = services.up(tmp_path)
        pids = [(tmp_path / f"{name}.pid").read_text() for name in ("kafka", "minio")]
        assert broker_answers(first.bootstrap_servers)
        assert services.up(tmp_path) == first
        assert pids == [(tmp_path / f"{name}.pid").read_text() for name in ("kafka", "minio")]
        assert (tmp_path / "services.json").stat().st_mode & 0o777 == 0o600
        assert services.down(tmp_path) == ["minio", "kafka"]
        assert services.down(tmp_path) == []
        with socket.create_server((LOOPBACK, first.kafka_port)):
            again = services.up(tmp_path)
        assert again.secret_key == first.secret_key
        assert again.kafka_port != first.kafka_port
        assert services.main(["env"]) == 0
        told = capsys.readouterr().out
        assert f"BOOTSTRAP_SERVERS={again.bootstrap_servers}" in told
        # `var/` itself may hold what embedded mode made of another log.
        assert f"SIGHTLINE_DATA_DIRECTORY={tmp_path / 'sightline'}" in told
    finally:
        services.down(tmp_path)


def test_an_unknown_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Anything but up, down and env is exit code 2 with the usage."""
    assert services.main(["sideways"]) == 2
    assert "up|down|env" in capsys.readouterr().err
