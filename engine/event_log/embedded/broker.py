"""Librdkafka's own in-process broker: the event log of the embedded stack.

It speaks the Kafka protocol on a free loopback port, so every client works with it unchanged, also
from other processes. It forgets everything when it stops (`journal.py` remembers the images), and
**keeps about 5 MiB a partition, then drops the oldest records silently** (measured): whoever
appends to it goes through `bounded_producer.py`, which waits for the consumers instead.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import confluent_kafka

from sightline.engine.errors import RefusedToStart
from sightline.schemas.topics import Topic

PARTITION_BYTES = 5 * 1024 * 1024
"""What a partition holds before it drops its oldest records."""
_PRODUCER = 0
_ERROR_BYTES = 512
_REPLICAS = 1
_PAUSE_S = 0.001
"""After each request to the broker's thread. Woken, it looks for requests, then forgets all that
woke it: one that comes in between lies there until it looks again, a second later. Without the
pauses a start loses two to three seconds (measured, librdkafka 2.16)."""


class InProcessBroker:
    """A broker in this process, running until it is closed.

    Args:
        topics: what it has; it cannot create topics with a configuration later.
        partitions: of every topic; none: each topic's own count.
        prefix: before every topic's name.

    Raises:
        RefusedToStart: this build of confluent-kafka has no in-process broker.
    """

    def __init__(
        self, topics: Sequence[Topic], partitions: int | None = None, *, prefix: str = ""
    ) -> None:
        self._library = _library()
        self._handle = self._new_handle()
        # Kept alive with the cluster: closing the handle closes the broker.
        self._cluster = ctypes.c_void_p(
            self._library.rd_kafka_mock_cluster_new(self._handle, _REPLICAS)
        )
        for topic in topics:
            self._create(prefix + topic.name, partitions or topic.partitions)
        # A group's first member need not wait 3 s for others in a broker that only we know.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        sleep(_PAUSE_S)
        found = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.bootstrap_servers = ctypes.string_at(found).decode()

    def close(self) -> None:
        """Stop it; what it held is gone. Repeated calls do nothing."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._handle)
            self._cluster = ctypes.c_void_p()

    def _new_handle(self) -> ctypes.c_void_p:
        message = ctypes.create_string_buffer(_ERROR_BYTES)
        configuration = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        # Else it complains, on standard error, that this handle knows no broker.
        self._library.rd_kafka_conf_set(configuration, b"log_level", b"0", message, len(message))
        handle = self._library.rd_kafka_new(_PRODUCER, configuration, message, len(message))
        if not handle:
            raise RefusedToStart(f"no in-process broker: {message.value.decode()}")
        return ctypes.c_void_p(handle)

    def _create(self, name: str, partitions: int) -> None:
        code = self._library.rd_kafka_mock_topic_create(
            self._cluster, name.encode(), partitions, _REPLICAS
        )
        sleep(_PAUSE_S)
        if code:
            raise RefusedToStart(f"the in-process broker refused topic {name}: error {code}")


def _library() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka has loaded already, with its mock broker's signatures."""
    library = ctypes.CDLL(str(_library_file()))
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (integer, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [integer, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, integer]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (pointer, [pointer]),
        "rd_kafka_mock_topic_create": (integer, [pointer, text, integer, integer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _library_file() -> Path:
    """Beside the wheel's extension: `confluent_kafka.libs` on Linux, `.dylibs` on macOS."""
    package = Path(confluent_kafka.__file__).parent
    folders = (package.parent / "confluent_kafka.libs", package / ".dylibs")
    for folder in folders:
        for file in sorted(folder.glob("librdkafka*")):
            return file
    raise RefusedToStart(
        f"no librdkafka in {' or '.join(map(str, folders))} on {sys.platform}: install the "
        "confluent-kafka wheel, or run on a real broker"
    )
