"""A site's own log, all the way: imported, joined and mined by commands, equal to the oracle."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import SecretStr

from sightline.engine.settings import (
    ApiSettings,
    KafkaSettings,
    LabelSettings,
    Mode,
    Settings,
)
from sightline.schemas.labels import Stage
from sightline.schemas.topics import INTERACTIONS_IMPORTED
from sightline.stream_workers.labels.rules import LabelRules
from tests.forking import Forked
from tests.label_kafka import LabelPipeline
from tests.label_shell import assert_equal
from tests.oracle_labels import expected
from tests.processes import sightline, started, stopped

PARTITIONS = 3
START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
SEARCHES = 120
SHOWN = 8
FAR_APART = [f"{number:x}" * 64 for number in range(16)]
"""Perceptual hashes; alike for images whose numbers are."""


def page(number: int, random: Random) -> Iterator[dict[str, Any]]:
    """The rows of one search and of what was done with it; some twice, late, or of no result."""
    at = START + timedelta(seconds=30 * number)
    name, user, anchor = f"s{number}", f"user-{number % 9}", f"a{number % 5}"
    common = {"search_id": name}
    images = random.sample(range(40), SHOWN)
    for position, image in enumerate(images, 1):
        yield common | {
            "time": at.isoformat(),
            "event": "shown",
            "user_id": user,
            "anchor_id": anchor,
            "image_id": f"p{image}",
            "position": position,
            "score": round(1 - position / 100, 2),
            "perceptual_hash": FAR_APART[image % 16],
            "anchor_perceptual_hash": "05" * 32,
        }
    for act in range(random.randrange(4)):
        position = random.randrange(SHOWN)
        late_s = random.choice((0,) * 10 + (1_900, 7_200))
        done = common | {
            "time": (at + timedelta(seconds=5 + act + late_s)).isoformat(),
            "event": random.choice(("clicked", "clicked", "liked", "converted", "viewed")),
            "image_id": f"p{images[position]}" if random.random() < 0.9 else "elsewhere",
            "position": position + 1,
            "event_id": f"{name}-{act}",
            "dwell_ms": random.choice((2_000, 15_000)),
        }
        yield from [done] * random.choice((1, 1, 2))


def site_log(file: Path, seed: int) -> Path:
    """Rows in any order, as CSV or Parquet by the name."""
    random = Random(seed)
    rows = [row for number in range(SEARCHES) for row in page(number, random)]
    random.shuffle(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if file.suffix == ".parquet":
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        table = pa.table({name: [row.get(name) for row in rows] for name in columns})
        parquet.write_table(table, file)
        return file
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
    return file


@contextmanager
def imported_stages(settings: Settings, folder: Path) -> Iterator[list[Forked]]:
    """`sightline join --imported` and `sightline mine --imported`, stopped in the end."""
    processes = [
        started(stage.value, "--imported", settings=settings, log=folder / f"{stage}.log")
        for stage in Stage
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_imported_log_makes_the_triples_of_the_oracle(
    kafka_settings: KafkaSettings, tmp_path: Path, form: str
) -> None:
    """Triples, closed searches and side rows, in id and content; duplicates and strays left out."""
    rules = LabelRules()
    settings = Settings(
        mode=Mode.SERVICES,
        data_directory=tmp_path / "data",
        kafka=kafka_settings,
        labels=LabelSettings(join_metrics_port=None, mine_metrics_port=None),
        api=ApiSettings(signing_secret=SecretStr("a secret for tests, of 32 bytes.")),
    )
    pipeline = LabelPipeline(kafka_settings, rules, tmp_path)
    file = site_log(tmp_path / f"log.{form}", seed=20_250_301)
    ended = sightline("interactions", "import", str(file), settings=settings)
    assert ended.returncode == 0, ended.stderr
    log = pipeline.recorded()
    wanted = expected(
        log, rules, sources=PARTITIONS, targets=PARTITIONS, topic=INTERACTIONS_IMPORTED.name
    )
    reasons = {row["reason"] for side in wanted.omitted.values() for row in side["omitted"]}
    assert len(wanted.triples) > SEARCHES // 2
    assert reasons >= {"duplicate", "outside_window", "not_shown", "after_close"}
    with imported_stages(settings, tmp_path) as processes:
        last = pipeline.last_closed(log, PARTITIONS)
        pipeline.wait_until_done(Stage.MINE, PARTITIONS, last, 120)
        assert [stopped(process) for process in processes] == [0, 0]
    assert_equal(pipeline.streamed(PARTITIONS), wanted)
