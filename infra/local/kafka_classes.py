"""The broker's classes as a JVM keeps them in its memory, archived once: each start takes half.

A start takes 3.3 CPU-seconds instead of 5.0, and the tests start some twenty brokers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from sightline.infra.local.kafka_jars import class_archive, kafka_jars
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.toolchain import JAVA, exclusive, locate

_STOP_TIMEOUT_S = 600.0
"""5 s on a quiet machine, measured: the archive is written when the broker ends."""


def archived_kafka() -> Path:
    """The folder with the broker's jars and its archived classes; a repeat returns at once.

    Raises:
        ToolMissing: no Java, or the jars cannot be fetched.
        ServerDidNotStart: the broker whose classes are archived did not answer.
    """
    archive = class_archive(locate(JAVA))
    if not archive.exists():
        with exclusive("kafka-classes"):
            if not archive.exists():
                _archive(archive)
    return kafka_jars()


def _archive(archive: Path) -> None:
    """Start a broker and end it. The file gets its name when it is whole."""
    part = archive.with_suffix(".part")
    options = [f"-XX:ArchiveClassesAtExit={part}"]
    with tempfile.TemporaryDirectory(prefix="sightline-kafka-") as folder:
        broker = LocalKafka(Path(folder), jvm_options=options, stop_timeout_s=_STOP_TIMEOUT_S)
        with broker:
            pass
    if part.exists():
        part.replace(archive)
