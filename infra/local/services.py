"""`make up` and `make down`: Kafka and MinIO as daemons of this checkout, without Docker.

Everything lies under `var/services/`: data, logs, pid files, and `services.json` with the ports
and the random keys, so that the next `make up` finds the same services.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import typer

from sightline.engine.errors import RefusedToStart
from sightline.engine.private_files import make_private_folders, write_private
from sightline.infra.local.daemon import Daemon
from sightline.infra.local.free_ports import LOOPBACK, free_port, is_free
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.schemas.topics import BUCKET_NOTIFICATIONS

DIRECTORY = Path("var/services")
KAFKA_PORT, MINIO_PORT = 9092, 9000
"""The defaults of the settings; a free port where they are taken."""
RECORD = "services.json"
DATA = "sightline"
"""What `sightline up` keeps beside these services: the index above all."""
NOTIFY_TARGET = "SIGHTLINE"


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the two services of a checkout keep between runs."""

    kafka_port: int
    minio_port: int
    access_key: str
    secret_key: str

    @property
    def bootstrap_servers(self) -> str:
        """The address of the Kafka broker, `host:port`."""
        return f"{LOOPBACK}:{self.kafka_port}"

    def environment(self) -> Mapping[str, str]:
        """The settings of a process that uses these services."""
        return {
            "SIGHTLINE_MODE": "services",
            "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "SIGHTLINE_STORE__ENDPOINT": f"{LOOPBACK}:{self.minio_port}",
            "SIGHTLINE_STORE__ACCESS_KEY": self.access_key,
            "SIGHTLINE_STORE__SECRET_KEY": self.secret_key,
        }


def service_environment(directory: Path, services: Services) -> Mapping[str, str]:
    """Those, and a data directory of their own: `var/` holds what embedded mode made."""
    data_directory = (directory / DATA).resolve()
    return {**services.environment(), "SIGHTLINE_DATA_DIRECTORY": str(data_directory)}


def up(directory: Path = DIRECTORY) -> Services:
    """Start what does not run yet; a repeat changes nothing.

    Raises:
        ToolMissing: a tool is missing and cannot be installed.
        ServerDidNotStart: a service did not come up; the message quotes its log.
    """
    services = _recorded(directory)
    broker, store = _daemon(directory, "kafka"), _daemon(directory, "minio")
    if not broker.running:
        services = replace(services, kafka_port=_preferably(services.kafka_port))
        kafka = LocalKafka(directory / "kafka", services.kafka_port)
        broker.record(kafka.start().release())
    if not store.running:
        services = replace(services, minio_port=_preferably(services.minio_port))
        store.record(_store(directory / "minio", services).start().release())
    _record(services, directory)
    return services


def down(directory: Path = DIRECTORY) -> list[str]:
    """Stop what `up` started, store first; the names of what ran. Data stays."""
    return [name for name in ("minio", "kafka") if _daemon(directory, name).stop()]


def _daemon(directory: Path, name: str) -> Daemon:
    return Daemon(directory / f"{name}.pid", data_directory=directory / name)


def _store(data_directory: Path, services: Services) -> LocalMinio:
    return LocalMinio(
        data_directory,
        services.minio_port,
        access_key=services.access_key,
        secret_key=services.secret_key,
        notify={NOTIFY_TARGET: (services.bootstrap_servers, BUCKET_NOTIFICATIONS.name)},
    )


def _recorded(directory: Path) -> Services:
    file = directory / RECORD
    if file.exists():
        return Services(**json.loads(file.read_text()))
    services = Services(
        kafka_port=_preferably(KAFKA_PORT),
        minio_port=_preferably(MINIO_PORT),
        access_key=secrets.token_hex(8),
        secret_key=secrets.token_hex(20),
    )
    _record(services, directory)
    return services


def _record(services: Services, directory: Path) -> None:
    make_private_folders(directory)
    write_private(directory / RECORD, json.dumps(asdict(services)))


def _preferably(port: int) -> int:
    return port if is_free(port) else free_port()


def main(arguments: list[str]) -> int:
    """`up`, `down` or `env`; exit code 2 with one line where something is missing."""
    commands = {"up": _say_up, "down": _say_down, "env": _say_environment}
    if len(arguments) != 1 or arguments[0] not in commands:
        typer.echo("usage: python -m sightline.infra.local.services up|down|env", err=True)
        return 2
    try:
        commands[arguments[0]]()
    except RefusedToStart as error:
        typer.echo(str(error), err=True)
        return 2
    return 0


def _say_up() -> None:
    services = up()
    typer.echo(f"Kafka {services.bootstrap_servers}, MinIO {LOOPBACK}:{services.minio_port}")
    typer.echo(f"Data and logs: {DIRECTORY}. Use them in a shell with:")
    typer.echo('  eval "$(.venv/bin/python -m sightline.infra.local.services env)"')
    typer.echo("then `sightline up`; stop them with `make down`.")


def _say_down() -> None:
    typer.echo(f"stopped: {', '.join(down()) or 'nothing was running'}")


def _say_environment() -> None:
    for name, value in service_environment(DIRECTORY, _recorded(DIRECTORY)).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
