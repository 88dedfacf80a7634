"""Commands that run something: `up`, `down`, `demo`, `worker`, `api`, `bridge`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from sightline.engine.connecting import owner
from sightline.engine.errors import RefusedToStart
from sightline.engine.linear_algebra import keep_products_to_one_thread
from sightline.engine.memory_arenas import keep_arenas_few
from sightline.engine.private_files import make_private_folders
from sightline.engine.settings import Settings, load_settings
from sightline.infra.cli.numbers import number
from sightline.infra.cli.stopping import stop_on_signals

app = typer.Typer()

DETACH_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.1


@app.command()
def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Run in the background; `sightline down` stops it.")
    ] = False,
) -> None:
    """Run everything in one process, and keep its data."""
    settings = load_settings()
    if detach:
        _detach(settings)
        return
    _before_anything_heavy()
    from sightline.infra.processes.node import run_node  # noqa: PLC0415 - heavy

    run_node(settings, stop_on_signals(), announce=lambda url: typer.echo(f"ready: {url}"))


def _before_anything_heavy() -> None:
    keep_arenas_few()
    keep_products_to_one_thread()


@app.command()
def down() -> None:
    """Stop what `sightline up --detach` started, if it runs."""
    settings = load_settings()
    running = owner.find_owner(settings.data_directory)
    if running is None:
        typer.echo(f"nothing runs on {settings.data_directory}")
        return
    os.kill(running.pid, signal.SIGTERM)
    waiting = threading.Event()
    for _ in range(int(STOP_TIMEOUT_S / _POLL_S)):
        if owner.find_owner(settings.data_directory) is None:
            typer.echo("stopped")
            return
        waiting.wait(_POLL_S)
    raise RefusedToStart(f"process {running.pid} did not stop within {STOP_TIMEOUT_S:.0f} s")


def _detach(settings: Settings) -> None:
    if (running := owner.find_owner(settings.data_directory)) is not None:
        typer.echo(f"already running: {running.url} (process {running.pid})")
        return
    make_private_folders(settings.data_directory)
    log = settings.data_directory / "sightline.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sightline.infra.cli", "up"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    waiting = threading.Event()
    for _ in range(int(DETACH_TIMEOUT_S / _POLL_S)):
        if (running := owner.find_owner(settings.data_directory)) is not None:
            typer.echo(f"ready: {running.url} (process {running.pid}, log {log})")
            return
        if process.poll() is not None:
            raise RefusedToStart(
                _last_line(log) or f"it ended with {process.returncode}, see {log}"
            )
        waiting.wait(_POLL_S)
    raise RefusedToStart(f"not ready after {DETACH_TIMEOUT_S:.0f} s, see {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("sightline: ") if lines else ""


@app.command()
def demo(
    photos: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Photos to index; none: the demo draws some."),
    ] = None,
    *,
    exit_when_done: Annotated[
        bool, typer.Option("--exit", envvar="DEMO_EXIT", help="Run the demo's checks, then exit.")
    ] = False,
    learn: Annotated[
        bool,
        typer.Option(
            "--learn",
            envvar="DEMO_LEARN",
            help="Let people's clicks make two models, one after the other: trained, judged, "
            "released, indexed, switched to.",
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            envvar="SIGHTLINE_API__PORT", metavar="PORT", help="Port of page and API; 0: any free."
        ),
    ] = 8080,
    draw: Annotated[
        int | None, number("COUNT", "Pictures to draw without FOLDER; default: 600.", at_least=1)
    ] = None,
) -> None:
    """Try Sightline on a folder of photos. Everything is thrown away at the end."""
    _before_anything_heavy()
    from sightline.infra.demo.run import run_demo  # noqa: PLC0415 - heavy

    run_demo(
        load_settings(),
        photos,
        stop_on_signals(),
        exit_when_done=exit_when_done,
        port=port,
        learn=learn,
        draw=draw,
    )


@app.command()
def worker() -> None:
    """Run the index worker alone. Services mode only, with a Qdrant server."""
    _before_anything_heavy()
    from sightline.infra.processes.node import run_worker  # noqa: PLC0415 - heavy

    run_worker(load_settings(), stop_on_signals())


@app.command()
def api() -> None:
    """Run the search API alone. Services mode only, with a Qdrant server."""
    _before_anything_heavy()
    from sightline.infra.processes.node import run_api  # noqa: PLC0415 - heavy

    run_api(load_settings(), stop_on_signals(), announce=lambda url: typer.echo(f"ready: {url}"))


@app.command()
def bridge() -> None:
    """Publish images that are uploaded to a bucket. Reads its notifications."""
    _before_anything_heavy()
    from sightline.infra.processes.node import run_bridge  # noqa: PLC0415 - heavy

    run_bridge(load_settings(), stop_on_signals())
