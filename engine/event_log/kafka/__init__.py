"""The event log on Kafka: what the other rooms import of the confluent-kafka adapter."""

from sightline.engine.event_log.kafka.config import client_config
from sightline.engine.event_log.kafka.consumer import KafkaEventConsumer
from sightline.engine.event_log.kafka.producer import KafkaEventProducer
from sightline.engine.event_log.kafka.whole_topics import read_topics

__all__ = ["KafkaEventConsumer", "KafkaEventProducer", "client_config", "read_topics"]
