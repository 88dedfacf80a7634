"""What stops `sightline up` from starting, or from going on: an exit code and a line that helps."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sightline.engine.settings import (
    EmbedderSettings,
    IndexSettings,
    KafkaSettings,
    Mode,
    Settings,
    StoreSettings,
)
from sightline.infra.local.node_process import NodeProcess
from tests.asking import Asking, drawn, embedded, ok
from tests.forking import Forked
from tests.patience import patient
from tests.processes import ForkedNode, command, sightline
from tests.waiting import eventually

REFUSED = 2
MIB = 1024 * 1024
ROOM = 512 * MIB
"""Free space that a test leaves to the index; other programs may use some of it meanwhile."""


def test_an_index_directory_that_is_in_use_is_left_alone(node: NodeProcess) -> None:
    """A second owner names the process that has the directory; the first one goes on."""
    line = _refusal(embedded(node.data_directory))
    assert f"in use by process {node.pid}" in line
    assert "stop it" in line
    with Asking(node.url) as api:
        assert api.get("/readyz").json()["ready"]


def test_a_generation_of_another_model_is_not_opened(tmp_path: Path) -> None:
    """An index made by one model is not served by another: what differs, and what to do."""
    settings = embedded(tmp_path / "data")
    with ForkedNode(settings, tmp_path / "node.log") as node:
        assert node.stop() == 0
    projection = tmp_path / "projection.safetensors"
    save_file({"mean": np.zeros(1280, np.float32), "matrix": np.eye(1280, 512)}, projection)
    other = EmbedderSettings(projection=projection)
    line = _refusal(settings.model_copy(update={"embedder": other}))
    assert "model_digest is" in line
    assert "go back to the settings that made it" in line


def test_an_index_of_another_log_is_not_served(
    tmp_path: Path, kafka_settings: KafkaSettings, store_settings: StoreSettings
) -> None:
    """What embedded mode filled is not served with Kafka: its versions and images are others."""
    settings = embedded(tmp_path / "data")
    with ForkedNode(settings, tmp_path / "node.log") as node:
        assert node.stop() == 0
    changed = {"mode": Mode.SERVICES, "kafka": kafka_settings, "store": store_settings}
    line = _refusal(settings.model_copy(update=changed))
    assert "was made from the embedded journal in .. and bucket sightline" in line
    assert "not from Kafka cluster " in line
    assert "set index.directory or data_directory" in line
    with ForkedNode(settings, tmp_path / "node.log") as node:
        assert node.stop() == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[api]\nport = 'eighty'\n", "setting api.port"),
        ("[api]\nprot = 80\n", "setting api.prot"),
        ("[api\n", "cannot read"),
        (None, "is not a file"),
    ],
    ids=["mistyped", "unknown", "no TOML", "missing"],
)
def test_unreadable_settings_are_named(tmp_path: Path, content: str | None, expected: str) -> None:
    """The line names the file or the setting."""
    file = tmp_path / "sightline.toml"
    if content is not None:
        file.write_text(content)
    # Variables win over the file, so the process gets none.
    errors, variables = tmp_path / "err", {**_without_settings(), "SIGHTLINE_CONFIG": str(file)}
    process = Forked(command, '["up"]', tmp_path / "out", errors=errors, environment=variables)
    try:
        code = process.wait(patient(120))
    finally:
        process.kill()
    assert expected in _line_of(subprocess.CompletedProcess("up", code, stderr=errors.read_text()))


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The line names the address and the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = embedded(tmp_path / "data")
        api = settings.api.model_copy(update={"port": port})
        line = _refusal(settings.model_copy(update={"api": api}))
    assert f"127.0.0.1:{port}" in line
    assert "SIGHTLINE_API__PORT" in line


def test_an_open_address_needs_keys(tmp_path: Path) -> None:
    """Without API keys only this machine may ask."""
    settings = embedded(tmp_path / "data")
    api = settings.api.model_copy(update={"host": "0.0.0.0"})  # noqa: S104 - refused
    line = _refusal(settings.model_copy(update={"api": api}))
    assert "api.keys" in line


def test_a_full_disk_stops_the_start(tmp_path: Path) -> None:
    """Too little room: it does not start, and says how much is free and how much is needed."""
    free = shutil.disk_usage(tmp_path).free
    line = _refusal(_with_reserve(embedded(tmp_path / "data"), free + 1_000 * ROOM))
    assert "free some space" in line
    assert "MiB needed" in line


def test_a_disk_that_fills_up_stops_it_and_loses_nothing(tmp_path: Path) -> None:
    """Filled while it runs: it ends and says why; with room again, nothing acknowledged is lost."""
    first, second = drawn(2, seed=2)
    reserve = shutil.disk_usage(tmp_path).free - ROOM
    node = ForkedNode(_with_reserve(embedded(tmp_path / "data"), reserve), tmp_path / "node.log")
    with node:
        with Asking(node.url) as api:
            ok(api.upload("first", first))
            with _ballast(tmp_path) as fill:
                fill(reserve - ROOM)
                acknowledged = ok(api.upload("second", second, wait=False))

                def ended() -> bool:
                    fill(reserve - ROOM)  # other tests give room back meanwhile
                    return node.poll() is not None

                eventually(ended)
                assert node.poll() == REFUSED
        assert acknowledged["status"] == "pending"
        last = node.log.read_text().splitlines()[-1]
        assert last.startswith("sightline: index: ")
        assert "free some space" in last
        node.start()
        with Asking(node.url) as api:
            eventually(lambda: api.status("second")["status"] == "indexed")
            assert api.found(first)[0] == "first"
            assert api.found(second)[0] == "second"


def _refusal(settings: Settings) -> str:
    """The line with which `sightline up` refuses to start."""
    return _line_of(sightline("up", settings=settings))


def _line_of(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == REFUSED, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("sightline: ")
    return lines[0]


def _without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}


def _with_reserve(settings: Settings, reserve_bytes: int) -> Settings:
    return settings.model_copy(update={"index": IndexSettings(reserve_bytes=reserve_bytes)})


@contextmanager
def _ballast(directory: Path) -> Iterator[Callable[[int], None]]:
    """Fills the disk until no more than so many bytes are free, and gives them back at the end."""
    file = directory / "ballast"

    def fill(leave_bytes: int) -> None:
        more = shutil.disk_usage(directory).free - leave_bytes
        if more > 0:
            with file.open("ab") as out:
                os.posix_fallocate(out.fileno(), out.tell(), more)

    try:
        yield fill
    finally:
        file.unlink(missing_ok=True)
