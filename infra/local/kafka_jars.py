"""The jars of one Kafka broker, fetched once with Maven into the cache."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from sightline.infra.local.toolchain import MAVEN, cache_directory, exclusive, locate, run_tool

POM = Path(__file__).parents[1] / "kafka" / "pom.xml"
FETCH_TIMEOUT_S = 900
COMPLETE = ".complete"


def kafka_jars() -> Path:
    """The folder with the broker's jars; a repeat returns at once.

    The folder is named after the pom, so a changed version is fetched anew and an old checkout
    keeps its own. Safe for several processes at once.

    Raises:
        ToolMissing: no Maven, or it cannot fetch.
    """
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    directory = cache_directory() / f"kafka-{digest}"
    if not (directory / COMPLETE).exists():
        with exclusive("kafka"):
            if not (directory / COMPLETE).exists():
                _fetch(directory)
    return directory


def class_archive(java: Path) -> Path:
    """The file of the broker's classes for this JVM, see `kafka_classes`; it may not be there yet.

    A JVM that cannot use it, since it or a jar has changed, goes without.
    """
    executable = java.resolve()
    jvm = f"{executable} {executable.stat().st_mtime_ns}".encode()
    return kafka_jars() / f"classes-{hashlib.sha256(jvm).hexdigest()[:16]}.jsa"


def kept_checkpoint() -> Path:
    """The file that every log of this version begins with, once one was formatted.

    It names the version's features, and no cluster.
    """
    return kafka_jars() / "bootstrap.checkpoint"


def _fetch(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    destination = f"-DoutputDirectory={directory}"
    scope = "-DincludeScope=runtime"
    run_tool(
        [locate(MAVEN), "-q", "-B", "-f", POM, scope, destination, "dependency:copy-dependencies"],
        timeout_s=FETCH_TIMEOUT_S,
        what_for="fetching Kafka with Maven",
    )
    (directory / COMPLETE).touch()
