"""A label stage that is told to stop while it works: no failure, and what is done is committed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest

from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.schemas.labels import Stage
from sightline.schemas.topics import INTERACTIONS_IMPORTED
from sightline.stream_workers.labels.groups import join_group
from tests.label_kafka import LabelPipeline
from tests.label_world import SMALL_RULES, START_MS, ticked
from tests.processes import stopped
from tests.waiting import eventually

NEVER_S = 10_000.0


class _Ticking:
    """Ticks of partition 0, so many at a time, ten seconds apart, from a thread."""

    def __init__(self, pipeline: LabelPipeline) -> None:
        self._pipeline = pipeline
        self._written = 0
        self._enough = Event()
        self._thread = Thread(target=self._go_on)

    def write(self, ticks: int) -> None:
        """The next ones."""
        at = range(self._written, self._written + ticks)
        self._pipeline.write([ticked(START_MS + 10_000 * number) for number in at])
        self._written += ticks

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._enough.is_set():
            self.write(20)


@pytest.mark.parametrize("commit_interval_s", [0.001, NEVER_S], ids=["all the time", "at the end"])
def test_it_ends_well_and_commits_what_is_done(
    kafka_settings: KafkaSettings, tmp_path: Path, commit_interval_s: float
) -> None:
    """Its timers asked a consumer that was gone: an orderly stop under load read as a failure."""
    pipeline = LabelPipeline(kafka_settings, SMALL_RULES, tmp_path)
    pipeline.create()
    ticking = _Ticking(pipeline)
    ticking.write(60)
    with ExitStack() as ended:
        ended.callback(pipeline.stop)
        process = pipeline.start(Stage.JOIN, commit_interval_s=commit_interval_s)
        eventually(lambda: pipeline.done(Stage.JOIN), timeout_s=60, interval_s=0.1)
        ended.enter_context(ticking)
        assert stopped(process) == 0, pipeline.workers[0].log.read_text()
    group, topic = join_group(LabelSettings(), INTERACTIONS_IMPORTED.name), INTERACTIONS_IMPORTED
    assert KafkaEventLog(kafka_settings).start_offsets(group, topic.name, [0])[0] > 0
