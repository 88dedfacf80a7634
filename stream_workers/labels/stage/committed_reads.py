"""A Faust app that reads what was committed only, as every other reader of ours does.

Faust does so for its own transactions alone (`exactly_once`); here aborted records of other
producers must not become labels.
"""

from __future__ import annotations

from typing import Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from sightline.stream_workers.labels.stage.eager_waits import EagerWaits

READ_COMMITTED = "read_committed"


class _Thread(AIOKafkaConsumerThread):
    """The thread in which Faust's driver keeps its client."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        client._isolation_level = READ_COMMITTED  # noqa: SLF001 - read when the client starts
        return client

    def highwater(self, tp: TP) -> int:
        """Where what is committed ends: what is open may yet be aborted."""
        stable: int = self._ensure_consumer().last_stable_offset(tp)
        return stable


class _Consumer(EagerWaits, Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(Transport):
    Consumer = _Consumer


class CommittedReads(faust.App):
    """A `faust.App` on a driver that leaves out the records of aborted transactions."""

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)
