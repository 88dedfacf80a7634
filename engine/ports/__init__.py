"""The ports: what the rooms need of the world. One vendor per adapter, one contract suite per port.

Adapters: `event_log/kafka/` (confluent-kafka), `object_store/s3.py` (minio),
`object_store/directory.py`, `vector_index/edge/` and `vector_index/qdrant/` (qdrant), `embedding/`
(torch, OpenVINO); and in memory `event_log/memory/`, `object_store/memory.py` and
`vector_index/memory/`. All are safe to call from several threads.
"""

from sightline.engine.ports.clock import Clock
from sightline.engine.ports.embedder import Embedder
from sightline.engine.ports.event_log import (
    BatchEventProducer,
    EventBatch,
    EventConsumer,
    EventLog,
    EventProducer,
    LogFollower,
    RebalanceListener,
)
from sightline.engine.ports.object_store import ObjectStore
from sightline.engine.ports.vector_index import VectorIndex

__all__ = [
    "BatchEventProducer",
    "Clock",
    "Embedder",
    "EventBatch",
    "EventConsumer",
    "EventLog",
    "EventProducer",
    "LogFollower",
    "ObjectStore",
    "RebalanceListener",
    "VectorIndex",
]
