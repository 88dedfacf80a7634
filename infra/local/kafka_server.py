"""One Apache Kafka broker on this machine, KRaft, without Docker: for tests and `make up`."""

from __future__ import annotations

import os
import shutil
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from sightline.engine.event_log.kafka.diagnosis import broker_answers
from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.infra.local.kafka_jars import class_archive, kafka_jars, kept_checkpoint
from sightline.infra.local.server import LocalServer
from sightline.infra.local.toolchain import JAVA, locate, run_tool

LOG_CONFIGURATION = Path(__file__).parents[1] / "kafka" / "log4j2.xml"
START_TIMEOUT_S = 600.0
"""4 s on a quiet machine, measured; a bound for what hangs, not for what is slow."""
STOP_TIMEOUT_S = 20.0
FORMAT_TIMEOUT_S = 600.0
META_FILE = "meta.properties"
META = "version=1\ncluster.id={cluster}\nnode.id={node}\ndirectory.id={directory}\n"
HEAP = "-Xmx512m"
"""340 MB resident in all, measured."""
JVM_OPTIONS = ("-XX:+ExitOnOutOfMemoryError", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Only the quick compiler: the thorough one takes 2 ms of CPU for every image of the first minutes,
on cores that the worker wants; a broker that runs for days is not started here. The collector with
one thread: a start takes 5.0 CPU-seconds instead of 5.9, and 3.3 with archived classes."""

SINGLE_NODE: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # One broker cannot replicate; its own topics must not ask for it.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    # A group's first member need not wait for company.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    # After a SIGKILL the controller takes the returning broker for a second one until its old
    # session is over; the default of 9 s only matters to clusters.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # A broker that nobody asks takes 13 ms of CPU a second instead of 24: no record every half
    # second that says nothing, and fewer threads that wake to find nothing.
    "metadata.max.idle.interval.ms": "0",
    "num.network.threads": "1",
    "num.io.threads": "4",
    "background.threads": "2",
}


class LocalKafka(LocalServer):
    """A broker with its own data directory; the same object starts again on the same data and port.

    Args:
        data_directory: of the broker alone; its log is kept there as `server.log`.
        port: of the client listener; 0: a free one.
        overrides: broker properties on top of ours, such as a short `log.cleaner.backoff.ms`.
        jvm_options: of the broker's JVM on top of ours.
        stop_timeout_s: for a graceful end.
    """

    def __init__(
        self,
        data_directory: Path,
        port: int = 0,
        *,
        overrides: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = (),
        stop_timeout_s: float = STOP_TIMEOUT_S,
    ) -> None:
        super().__init__("Kafka", data_directory, stop_timeout_s=stop_timeout_s)
        self._jvm_options = tuple(jvm_options)
        self._port = port or free_port()
        self._controller_port = free_port()
        self._overrides = dict(overrides or {})

    @property
    def bootstrap_servers(self) -> str:
        """The address that clients connect to, `host:port`."""
        return f"{LOOPBACK}:{self._port}"

    def start(self) -> Self:
        """Start the broker, formatting an empty data directory first; returns when it answers.

        Raises:
            ToolMissing: no Java, or the jars cannot be fetched.
            ServerDidNotStart: the broker ended or did not answer in time.
        """
        properties = self._write_properties()
        if not (self._directory / "log" / META_FILE).exists():
            self._format(properties)
        self._server.start(
            [*self._java(), *self._jvm_options, "kafka.Kafka", properties],
            lambda: broker_answers(self.bootstrap_servers),
            port=self._port,
            environment={},
            timeout_s=START_TIMEOUT_S,
        )
        return self

    def _java(self) -> list[str | Path]:
        java = locate(JAVA)
        archive = class_archive(java)
        return [
            java,
            HEAP,
            *JVM_OPTIONS,
            *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
            f"-Dlog4j2.configurationFile={LOG_CONFIGURATION}",
            "-cp",
            f"{kafka_jars()}/*",
        ]

    def _write_properties(self) -> Path:
        self._directory.mkdir(parents=True, exist_ok=True)
        broker, controller = self.bootstrap_servers, f"{LOOPBACK}:{self._controller_port}"
        properties = {
            **SINGLE_NODE,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "log.dirs": str(self._directory / "log"),
            **self._overrides,
        }
        path = self._directory / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    def _format(self, properties: Path) -> None:
        """Make an empty log: by Kafka's own tool, a JVM, only until its file is kept."""
        cluster, log, kept = _new_id(), self._directory / "log", kept_checkpoint()
        if kept.exists():
            log.mkdir(exist_ok=True)
            shutil.copy(kept, log / kept.name)
            meta = META.format(cluster=cluster, node=SINGLE_NODE["node.id"], directory=_new_id())
            (log / META_FILE).write_text(meta)
            return
        # Joined by `=`: one id in 64 begins with a dash and would be taken for an option.
        arguments = ["format", f"--cluster-id={cluster}", "-c", str(properties)]
        run_tool(
            [*self._java(), "kafka.tools.StorageTool", *arguments],
            timeout_s=FORMAT_TIMEOUT_S,
            what_for="formatting Kafka's data directory",
        )
        part = kept.with_suffix(f".{os.getpid()}")
        shutil.copy(log / kept.name, part)
        part.replace(kept)


def _new_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
