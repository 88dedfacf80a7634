"""The API of a services deployment publishes by itself what a crash kept from the log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.kafka import read_topics
from sightline.engine.settings import ApiSettings, KafkaSettings, Mode, Settings, StoreSettings
from sightline.infra.wiring.reconciling import unpublished_loops
from sightline.infra.wiring.services import services_base
from sightline.producers.images.unpublished import GRACE
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES
from tests.catalogued_parts import Log, authority
from tests.running_loops import running
from tests.waiting import eventually


def services(kafka: KafkaSettings, folder: Path, every_s: float) -> Settings:
    """Settings of a deployment of the test's own."""
    return Settings(
        mode=Mode.SERVICES,
        data_directory=folder,
        kafka=kafka,
        store=StoreSettings(directory=folder / "objects"),
        api=ApiSettings(publish_unpublished_every_s=every_s),
    )


def test_it_is_published_without_being_asked_for(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    """A write that got as far as the catalogue is in `images.v1` soon after the API's start."""
    clock = ManualClock(datetime.now(UTC))
    with services_base(services(kafka_settings, tmp_path, 0.1), clock=clock) as base:
        down = Log(clock)
        down.broker.down = True
        crashed = authority(
            base.publishing.catalogue, (base.store, base.settings.store.bucket), down
        )
        with pytest.raises(PartUnavailable):
            crashed.put("left", b"1")
        clock.advance(2 * GRACE.total_seconds())
        loops = unpublished_loops(base.settings, base.publishing)
        assert set(loops) == {"unpublished", "unpublished decisions"}

        def published() -> list[str]:
            messages = read_topics(kafka_settings, [IMAGES.name])
            return [decode(message.value).subject for message in messages]

        with running(loops["unpublished"]):
            eventually(lambda: published() == ["left"], timeout_s=60, reason="the event")


def test_it_can_be_left_to_the_command(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    """An interval of 0 starts nothing."""
    with services_base(services(kafka_settings, tmp_path, 0)) as base:
        assert unpublished_loops(base.settings, base.publishing) == {}
