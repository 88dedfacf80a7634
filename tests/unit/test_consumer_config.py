"""How long consumers let a broker hold its answer."""

from __future__ import annotations

from sightline.engine.connecting.connections import embedded_kafka
from sightline.engine.event_log.kafka.config import consumer_config
from sightline.engine.settings import KafkaSettings, Settings


def test_only_the_in_process_broker_is_asked_often() -> None:
    """It does not answer before the time is over; Kafka answers as soon as something comes."""
    embedded = consumer_config(embedded_kafka(Settings(), "127.0.0.1:1"), "group")
    services = consumer_config(KafkaSettings(fetch_wait_s=0.25), "group")
    assert (embedded["fetch.wait.max.ms"], services["fetch.wait.max.ms"]) == (50, 250)
    assert consumer_config(KafkaSettings(), "group")["fetch.wait.max.ms"] == 500
