"""An in-process broker that misbehaves on request, as a real one does for moments."""

from __future__ import annotations

import ctypes
from enum import IntEnum

from confluent_kafka import KafkaError

from sightline.engine.event_log.embedded.broker import InProcessBroker

_BROKER = 1
_NOBODY = -1


class Request(IntEnum):
    """Numbers of the Kafka protocol's requests."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3


class FaultyBroker(InProcessBroker):
    """One broker, whose answers a test decides."""

    def refuse(self, request: Request, *errors: int) -> None:
        """Answer the next requests of a kind with these errors, one each, doing nothing."""
        ask = self._library.rd_kafka_mock_push_request_errors_array
        ask.restype = None
        ask.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int16,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_int),
        ]
        ask(self._cluster, request, len(errors), (ctypes.c_int * len(errors))(*errors))

    def delay(self, milliseconds: int) -> None:
        """Answer so much later: several requests are on their way at once."""
        ask = self._library.rd_kafka_mock_broker_set_rtt
        ask.restype, ask.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int]
        assert ask(self._cluster, _BROKER, milliseconds) == KafkaError.NO_ERROR

    def depose(self, topic: str, partition: int) -> None:
        """Leave a partition without a leader."""
        self._lead(topic, partition, _NOBODY)

    def elect(self, topic: str, partition: int) -> None:
        """Give a partition its leader."""
        self._lead(topic, partition, _BROKER)

    def _lead(self, topic: str, partition: int, broker: int) -> None:
        ask = self._library.rd_kafka_mock_partition_set_leader
        ask.restype = ctypes.c_int
        ask.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
        assert ask(self._cluster, topic.encode(), partition, broker) == KafkaError.NO_ERROR
