"""A site's log: times that can be meant, columns that can be placed, refusals with their line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from sightline.producers.interactions.history.rows import LogInvalid, Numbered, RowRefused, read_log

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NOON = datetime(2024, 11, 28, 12, 0, 0, 123_000, tzinfo=UTC)
NOON_MS = 1_732_795_200_123
HEADER = "time,event,search_id,session_id,anchor_id,image_id"
REST = ",shown,s1,ann,a,p1"


def written(folder: Path, header: str, *lines: str) -> Path:
    """A CSV file of these lines."""
    (folder / "log.csv").write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return folder / "log.csv"


def stored(folder: Path, times: Any) -> Path:
    """A Parquet file with these times."""
    others = dict(zip(HEADER.split(",")[1:], REST.split(",")[1:], strict=True))
    columns = {name: [value] * len(times) for name, value in others.items()}
    parquet.write_table(pa.table({"time": times, **columns}), folder / "log.parquet")
    return folder / "log.parquet"


@pytest.mark.parametrize(
    "said",
    [
        "2024-11-28T12:00:00.123Z",
        "2024-11-28t12:00:00.123999z",
        "2024-11-28 12:00:00.123456789+00:00",
        "2024-11-28T13:30:00.123+01:30",
        " 2024-11-28T12:00:00.123Z ",
        "1732795200123",
    ],
)
def test_an_instant_is_rfc_3339_or_milliseconds(tmp_path: Path, said: str) -> None:
    """Cut to the millisecond, whatever its zone."""
    [row], refused = read_log(written(tmp_path, HEADER, said + REST), now=NOW)
    assert (row.row.time, refused) == (NOON, [])


@pytest.mark.parametrize(
    "said",
    [
        "1.73275E+12",
        "1732752000",
        "1732752000.5",
        "1732752000123.0",
        "1732752000123.9",
        "1732752000123456",
        "1732752000123456789",
        "9" * 5_000,
        "-1",
        "+1732752000123",
        "1_732_752_000_123",
        "١٧٣٢٧٥٢٠٠٠١٢٣",
        "0x193",
        "nan",
        "inf",
        "2024-11-28T12:00:00",
        "2024-11-28",
        "2024-11-28T12:00Z",
        "2024-11-28T12:00:60Z",
        "2024-13-28T12:00:00Z",
        "20241128T120000Z",
        "2024-W48-4T12:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "0001-01-02T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "1999-12-31T23:59:59.999Z",
        "2000-01-01T00:00:00+00:01",
        "2024-11-28T12:00:00+00:60",
        "2024-11-28T12:00:00-23:99",
        "28/11/2024 12:00",
        "P1D",
    ],
)
def test_what_may_mean_another_instant_is_refused_with_its_line(tmp_path: Path, said: str) -> None:
    """It alone: the rows around it are good."""
    file = written(tmp_path, HEADER, f"{NOON_MS}{REST}", said + REST, f"{NOON_MS}{REST}")
    good, [refused] = read_log(file, now=NOW)
    assert [one.number for one in good] == [2, 4]
    assert refused.number == 3
    assert refused.reason.startswith("time: ")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Zurich", "Mars/Base"])
def test_parquet_times_need_no_pandas(
    tmp_path: Path, unit: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every unit and zone; an instant is the same in all of them."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    ticks = {"s": NOON_MS // 1_000, "ms": NOON_MS, "us": NOON_MS * 1_000 + 456}
    value = ticks.get(unit, NOON_MS * 1_000_000 + 456_789)
    file = stored(tmp_path, pa.array([value, None], pa.timestamp(unit, zone)))
    [row], [refused] = read_log(file, now=NOW)
    assert row.row.time == (NOON.replace(microsecond=0) if unit == "s" else NOON)
    assert (refused.number, refused.reason) == (2, "time: Field required")


@pytest.mark.parametrize(
    "times",
    [
        pa.array([9_999_999_999_999], pa.timestamp("s", "UTC")),
        pa.array([-62_135_596_801], pa.timestamp("s", "UTC")),
        pa.array([0], pa.timestamp("ns", "UTC")),
        pa.array([NOON_MS], pa.timestamp("ms")),
        pa.array([float(NOON_MS)]),
        pa.array([True]),
        pa.array([[NOON_MS]]),
    ],
)
def test_parquet_times_that_cannot_be_meant_are_refused_with_their_row(
    tmp_path: Path, times: Any
) -> None:
    """Of no year, without a zone, or not whole."""
    good, [refused] = read_log(stored(tmp_path, times), now=NOW)
    assert (good, refused.number) == ([], 1)


@pytest.mark.parametrize(
    "times", [pa.array([1], pa.duration("ns")), pa.array([1], pa.time64("ns")), pa.array([b"x"])]
)
def test_a_column_of_a_type_that_is_no_time_is_refused(tmp_path: Path, times: Any) -> None:
    """The message names column and type."""
    with pytest.raises(LogInvalid, match="column 'time' has the type"):
        read_log(stored(tmp_path, times), now=NOW)


def test_columns_of_the_site_are_passed_over(tmp_path: Path) -> None:
    """Also a type that nobody can read, in a column that nobody asked for."""
    file = stored(tmp_path, pa.array([NOON_MS]))
    table = parquet.read_table(file)
    table = table.append_column("took", pa.array([1], pa.duration("ns")))
    parquet.write_table(table, file)
    assert len(read_log(file, now=NOW)[0]) == 1
    assert read_log(written(tmp_path, f"{HEADER},x,x", f"{NOON_MS}{REST},,"), now=NOW)[0]


def test_blanks_and_case_of_names_are_understood_and_a_second_one_refused(tmp_path: Path) -> None:
    """Else a row would lose its visitor."""
    file = written(tmp_path, HEADER.replace("session_id", " Session_ID"), f"{NOON_MS}{REST}")
    assert read_log(file, now=NOW)[0][0].row.session_id == "ann"
    with pytest.raises(LogInvalid, match="'session_id' is there twice"):
        read_log(written(tmp_path, f"{HEADER},SESSION_ID", f"{NOON_MS}{REST},bob"), now=NOW)


def test_a_short_or_long_row_is_refused_with_its_line(tmp_path: Path) -> None:
    """Its cells may stand under the wrong names."""
    good, refused = read_log(
        written(tmp_path, HEADER, f"{NOON_MS}{REST},x", f"{NOON_MS},shown", f"{NOON_MS}{REST}"),
        now=NOW,
    )
    assert [one.number for one in refused] == [2, 3]
    assert len(good) == 1


def test_the_future_is_refused(tmp_path: Path) -> None:
    """A clock that was wrong."""
    later = (NOW + timedelta(seconds=1)).isoformat()
    _, [refused] = read_log(written(tmp_path, HEADER, later + REST), now=NOW)
    assert refused.reason == "time: in the future"


NUMBERS = ("position", "dwell_ms", "in_view_ms", "score")


def with_number(folder: Path, name: str, value: Any) -> tuple[list[Numbered], list[RowRefused]]:
    """What is read of a row with this number: as text of CSV, else as a value of Parquet."""
    if isinstance(value, str):
        return read_log(written(folder, f"{HEADER},{name}", f"{NOON_MS}{REST},{value}"), now=NOW)
    file = stored(folder, pa.array([NOON_MS]))
    parquet.write_table(parquet.read_table(file).append_column(name, pa.array([value])), file)
    return read_log(file, now=NOW)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "said", ["true", "1_0", "1e3_0", "0x1", "+-1", "٣", "1 0", "nan", "inf", "one", True, "9" * 400]
)
def test_what_may_mean_another_number_is_refused(tmp_path: Path, name: str, said: Any) -> None:
    """With its column: `1_0` is neither ten nor one."""
    good, [refused] = with_number(tmp_path, name, said)
    assert good == []
    assert refused.reason.startswith(f"{name}: ")


@pytest.mark.parametrize("name", NUMBERS[:3])
@pytest.mark.parametrize("said", ["3.0", "+3", "3e0", 3.5, -1])
def test_whole_numbers_are_in_digits(tmp_path: Path, name: str, said: Any) -> None:
    """Places and milliseconds; a point belongs to scores."""
    good, [refused] = with_number(tmp_path, name, said)
    assert (good, refused.reason.split(":")[0]) == ([], name)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("said", ["3", " 3 ", "003", 3, 3.0])
def test_a_number_is_read_as_it_stands(tmp_path: Path, name: str, said: Any) -> None:
    """Also as the float that a table with blanks makes of a whole number."""
    [one], refused = with_number(tmp_path, name, said)
    assert (getattr(one.row, name), refused) == (3, [])


def test_a_score_may_have_a_point_and_an_exponent(tmp_path: Path) -> None:
    """As every language writes a float."""
    for said, score in {"-.5": -0.5, "9.": 9.0, "1.25E-3": 0.00125}.items():
        [one], _ = with_number(tmp_path, "score", said)
        assert one.row.score == score
