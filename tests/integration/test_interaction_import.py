"""A site's own log through the command to a real topic: times, order, ticks, refusals."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sightline.engine.clock import SystemClock
from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.event_log.kafka import read_topics
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.records import Message
from sightline.engine.search_ids import SearchIds
from sightline.engine.settings import ApiSettings, KafkaSettings, Mode, Settings
from sightline.infra.cli import interactions
from sightline.infra.reporting.status import read_status
from sightline.producers.interactions.history.import_log import NotLater
from sightline.producers.interactions.history.rows import LogInvalid
from sightline.schemas.interactions import ClockTicked, ResultsInteracted
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import TOPICS

SECRET = "a secret for tests, of 32 bytes."
START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
Line = dict[str, Any]


@pytest.fixture
def settings(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the command loads."""
    api = ApiSettings(signing_secret=SecretStr(SECRET))
    made = Settings(mode=Mode.SERVICES, kafka=kafka_settings, api=api)
    monkeypatch.setattr(interactions, "load_settings", lambda: made)
    return made


def search(name: str, at: datetime, *, shown: int = 3, user: str = "ann@example") -> list[Line]:
    """The rows of one search: a page, and a click on its second image 42 s later."""
    page: list[Line] = [
        {
            "time": at.isoformat(),
            "event": "shown",
            "search_id": name,
            "user_id": user,
            "anchor_id": "a",
            "image_id": f"p{n}",
        }
        for n in range(1, shown + 1)
    ]
    click = {
        "time": (at + timedelta(seconds=42)).isoformat(),
        "event": "clicked",
        "search_id": name,
        "image_id": "p2",
        "position": 2,
        "dwell_ms": 12_000,
    }
    return [click, *page]  # logs come in any order


def log(folder: Path, lines: Sequence[Line], *, name: str = "log.csv") -> Path:
    """A file of these rows."""
    file = folder / name
    columns = list(dict.fromkeys(column for line in lines for column in line))
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(lines)
    return file


def imported(settings: Settings) -> list[Message]:
    """What the topic holds."""
    return list(read_topics(settings.kafka, ["interactions.imported.v1"]))


def said(records: Sequence[Message], kind: type[Any]) -> list[Any]:
    """The data of the events of a type."""
    events = [decode(record.value).data for record in records]
    return [data for data in events if isinstance(data, kind)]


def test_a_log_becomes_pages_clicks_and_ticks(settings: Settings, tmp_path: Path) -> None:
    """Own times as record timestamps, never falling in a partition; closed by a last tick."""
    lines = [
        line
        for n in range(40)
        for line in search(f"s{n}", START + timedelta(minutes=n), user=f"user{n % 7}")
    ]
    interactions.import_(log(tmp_path, lines[::-1]))
    records = imported(settings)
    pages, clicks = said(records, ResultsShown), said(records, ResultsInteracted)
    assert len(pages) == len(clicks) == 40
    assert [one.position for one in pages[0].shown] == [1, 2, 3]
    assert pages[0].shown[0].score > pages[0].shown[1].score
    issued = {page.search_id: (page.issued_at, page.actor_id) for page in pages}
    for click in clicks:
        assert (click.issued_at, click.actor_id) == issued[click.search_id]
        assert click.items[0].since_answer_ms == 42_000
    ids = SearchIds(SECRET.encode())
    assert {page.actor_id for page in pages} == {ids.pseudonym(f"user{n}") for n in range(7)}
    times: dict[int, list[datetime]] = defaultdict(list)
    for record in records:
        times[record.partition].append(record.timestamp)
    end = START + timedelta(minutes=39, seconds=42)
    assert len(times) == settings.kafka.partitions
    for partition in times.values():
        assert partition == sorted(partition)
        assert partition[-1] > end + timedelta(minutes=10 + 30 + 5)
    # One a partition for each epoch of ten minutes that has anything, and the closing one.
    assert len(said(records, ClockTicked)) == len(times) * (4 + 1)


def test_parquet_is_the_same_log(settings: Settings, tmp_path: Path) -> None:
    """With times as timestamps."""
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    lines = [line | {"time": datetime.fromisoformat(line["time"])} for line in search("s", START)]
    parquet.write_table(pa.Table.from_pylist(lines[::-1]), tmp_path / "log.parquet")
    interactions.import_(tmp_path / "log.parquet")
    [page] = said(imported(settings), ResultsShown)
    assert page.issued_at == START


def test_a_later_log_follows_and_an_earlier_one_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    """What would be `after_close` altogether is refused, and says where the topic ends."""
    interactions.import_(log(tmp_path, search("s1", START)))
    before = len(imported(settings))
    with pytest.raises(NotLater, match="in the order of their times"):
        interactions.import_(log(tmp_path, search("s2", START + timedelta(minutes=20))))
    assert len(imported(settings)) == before
    interactions.import_(log(tmp_path, search("s3", START + timedelta(hours=1))))
    assert {page.search_id for page in said(imported(settings), ResultsShown)} == {"s1", "s3"}


def test_logs_may_follow_each_other_closely(settings: Settings, tmp_path: Path) -> None:
    """With `--more-follows` nothing is closed, and the next log goes on at once."""
    interactions.import_(log(tmp_path, search("s1", START)), more_follows=True)
    interactions.import_(log(tmp_path, search("s2", START + timedelta(minutes=1))))
    assert len(said(imported(settings), ResultsShown)) == 2


def test_an_import_that_was_cut_short_is_resumed(settings: Settings, tmp_path: Path) -> None:
    """What is there is not written again, but for the last instant, under the same ids."""
    lines = [
        line
        for n in range(30)
        for line in search(f"s{n}", START + timedelta(minutes=n), user=f"user{n % 7}")
    ]
    interactions.import_(log(tmp_path, [*lines[:40]], name="half.csv"), more_follows=True)
    interactions.import_(log(tmp_path, lines), resume=True)
    records = imported(settings)
    assert len({page.search_id for page in said(records, ResultsShown)}) == 30
    clicks = [click.items[0].event_id for click in said(records, ResultsInteracted)]
    assert len(set(clicks)) == 30
    assert len(clicks) <= 30 + (settings.kafka.partitions or 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"time": "yesterday"}, "time"),
        ({"time": "2025-03-01T12:00:00"}, "time"),
        ({"time": "2999-01-01T00:00:00Z"}, "in the future"),
        ({"event": "seen"}, "event"),
        ({"image_id": "a/b"}, "image_id"),
        ({"image_id": ""}, "image_id"),
        ({"position": "0"}, "position"),
        ({"dwell_ms": "-1"}, "dwell_ms"),
        ({"dwell_ms": str(7 * 86_400_000)}, "dwell_ms"),
        ({"search_id": "elsewhere"}, "not in the log"),
    ],
)
def test_a_row_out_of_bounds_stops_the_import(
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fault: Line,
    reason: str,
) -> None:
    """Nothing is written; row and reason are told; `--skip-invalid` imports the rest."""
    lines = search("s", START)
    lines[0] = lines[0] | fault
    file = log(tmp_path, lines)
    with pytest.raises(SightlineError, match="1 rows were refused"):
        interactions.import_(file)
    told = capsys.readouterr().err
    assert told.startswith("line 2: ")  # the first has the column names
    assert reason in told
    assert imported(settings) == []
    interactions.import_(file, skip_invalid=True)
    assert len(said(imported(settings), ResultsShown)) == 1
    assert said(imported(settings), ResultsInteracted) == []


def test_a_file_that_is_not_there_is_said_in_a_sentence(settings: Settings, tmp_path: Path) -> None:
    """Without the number of the system's error; a folder is no file either."""
    del settings
    (tmp_path / "folder.csv").mkdir()
    for name, sentence in (("none.csv", "there is no file "), ("folder.csv", "cannot be read: ")):
        with pytest.raises(LogInvalid) as caught:
            interactions.import_(tmp_path / name)
        assert sentence in str(caught.value)
        assert "Errno" not in str(caught.value)


def test_an_import_says_what_comes_next_and_status_shows_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stages of imported logs are told once there are any; sink and metrics always."""

    def names() -> set[str]:
        found = read_status(
            settings, KafkaEventLog(settings.kafka), clock=SystemClock(), wait=lambda _: None
        )
        return {hop.hop.name for hop in found.hops}

    KafkaTopics(settings.kafka).ensure(TOPICS)
    assert {"join", "mine", "metrics", "sink"} <= names()
    assert not [name for name in names() if "imported" in name]
    interactions.import_(log(tmp_path, search("s", START)))
    said_last = capsys.readouterr().out.splitlines()[-1]
    assert "`sightline join --imported` and `sightline mine --imported`" in said_last
    assert {name for name in names() if "imported" in name} == {"join imported"}


def test_a_page_of_two_visitors_is_refused(settings: Settings, tmp_path: Path) -> None:
    """One search has one anchor and one visitor; its rows and its click are all refused."""
    del settings
    lines = search("s", START)
    lines[2] = lines[2] | {"user_id": "bob@example"}
    with pytest.raises(SightlineError, match="4 rows"):
        interactions.import_(log(tmp_path, lines))


def test_a_log_that_has_just_ended_can_not_be_closed_yet(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The closing tick would be further ahead than the broker allows: said before anything."""
    labels = settings.labels.model_copy(update={"attribution_window_s": 7_200.0})
    slow = settings.model_copy(update={"labels": labels})
    monkeypatch.setattr(interactions, "load_settings", lambda: slow)
    file = log(tmp_path, search("s", datetime.now(UTC) - timedelta(minutes=1)))
    with pytest.raises(NotLater, match="too lately"):
        interactions.import_(file)
    assert imported(settings) == []


def test_the_embedded_log_is_too_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It forgets what is old: importing needs Kafka, and says so."""
    monkeypatch.setattr(interactions, "load_settings", lambda: Settings(mode=Mode.EMBEDDED))
    with pytest.raises(SettingsInvalid, match="needs Kafka"):
        interactions.import_(log(tmp_path, search("s", START)))
