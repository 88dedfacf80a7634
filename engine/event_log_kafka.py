"""The event log on Kafka: what the other rooms import of the confluent-kafka adapter."""

from sightline.engine.event_log_kafka_config import client_config
from sightline.engine.event_log_kafka_consumer import KafkaEventConsumer
from sightline.engine.event_log_kafka_producer import KafkaEventProducer
from sightline.engine.event_log_kafka_reader import read_topics

__all__ = ["KafkaEventConsumer", "KafkaEventProducer", "client_config", "read_topics"]
