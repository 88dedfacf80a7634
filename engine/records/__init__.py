"""The values that cross the ports: messages, stored objects, indexed images, requests and hits."""

from sightline.engine.records.indexed import (
    UNREADABLE,
    DecisionFence,
    Fence,
    ImageStage,
    IndexedDecision,
    IndexedImage,
    WinnerLocation,
)
from sightline.engine.records.log import Message, PartitionLag, ProducerRecord, TopicPartition
from sightline.engine.records.objects import StoredObject
from sightline.engine.records.searches import (
    GenerationSpec,
    Hit,
    Likeness,
    SearchRequest,
    Sight,
    TagFilter,
)

__all__ = [
    "UNREADABLE",
    "DecisionFence",
    "Fence",
    "GenerationSpec",
    "Hit",
    "ImageStage",
    "IndexedDecision",
    "IndexedImage",
    "Likeness",
    "Message",
    "PartitionLag",
    "ProducerRecord",
    "SearchRequest",
    "Sight",
    "StoredObject",
    "TagFilter",
    "TopicPartition",
    "WinnerLocation",
]
