"""Every reader of a file that somebody hands us: any bytes end in a value or in our own error."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sightline.engine.connecting import owner
from sightline.engine.connecting.owner import Owner
from sightline.engine.errors import SightlineError
from sightline.engine.settings import Mode, load_settings
from sightline.producers.backfill import manifest
from sightline.producers.backfill.manifest import read_manifest
from sightline.producers.backfill.record import Resume
from sightline.producers.interactions.history import rows
from sightline.producers.interactions.history.rows import Numbered, read_log
from sightline.schemas.fields import Visibility
from tests.trained_files import TRAINED, Sample

NOW = datetime(2026, 11, 1, tzinfo=UTC)
JOB = {"source": "/photos"}
OWNER = Owner(pid=os.getpid(), url="http://x", bootstrap_servers="127.0.0.1:9")


def table(**columns: object) -> bytes:
    """A Parquet file."""
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    return out.getvalue()


def owner_file() -> bytes:
    """What the owner of an embedded stack announces: this process, which lives."""
    with tempfile.TemporaryDirectory() as folder:
        owner.announce(Path(folder), OWNER)
        return (Path(folder) / "owner.json").read_bytes()


def finished(file: Path) -> set[str]:
    """The paths that a state file says are done with."""
    with Resume(file, JOB) as resume:
        return resume.finished


def some_settings(_: Path) -> object:
    """What the file of settings, named in the environment, says of three of them."""
    read = load_settings()
    return read.mode, read.kafka.bootstrap_servers, read.decode.max_bytes


def rows_read(*said: dict[str, object]) -> object:
    """A log whose rows were all good; in CSV the first has the column names."""
    return [Numbered(n, rows.HistoryRow.model_validate(row)) for n, row in enumerate(said, 2)], []


def parquet_row_read(said: dict[str, object]) -> object:
    """A log of one good row in Parquet."""
    return [Numbered(1, rows.HistoryRow.model_validate(said))], []


SAMPLES = TRAINED | {
    "backfill.csv": Sample(
        read_manifest,
        b'path,visibility,version,attributes\na.jpg,private,1,"{""a"": [1]}"\nb.jpg,public,2,\n',
        [
            manifest.ManifestRow(
                path="a.jpg", visibility=Visibility.PRIVATE, version=1, attributes={"a": [1]}
            ),
            manifest.ManifestRow(path="b.jpg", visibility=Visibility.PUBLIC, version=2),
        ],
    ),
    "backfill.jsonl": Sample(
        read_manifest,
        b'{"path": "a.jpg", "visibility": "private", "tags": ["x"], "attributes": {"a": [1.5]}}\n',
        [
            manifest.ManifestRow(
                path="a.jpg",
                visibility=Visibility.PRIVATE,
                tags=("x",),
                attributes={"a": [1.5]},
            )
        ],
    ),
    "backfill.parquet": Sample(
        read_manifest,
        table(path=["a.jpg"], tags=[["x", "y"]]),
        [manifest.ManifestRow(path="a.jpg", tags=("x", "y"))],
    ),
    "log.csv": Sample(
        lambda file: read_log(file, now=NOW),
        b"time,event,search_id,session_id,anchor_id,image_id,score\n"
        b"1732752000123,shown,s,u,a,p,0.5\n2026-01-01T00:00:00Z,clicked,s,u,,p,\n",
        rows_read(
            {
                "time": "2024-11-28T00:00:00.123Z",
                "event": "shown",
                "search_id": "s",
                "session_id": "u",
                "anchor_id": "a",
                "image_id": "p",
                "score": 0.5,
            },
            {
                "time": "2026-01-01T00:00:00Z",
                "event": "clicked",
                "search_id": "s",
                "session_id": "u",
                "image_id": "p",
            },
        ),
    ),
    "log.parquet": Sample(
        lambda file: read_log(file, now=NOW),
        table(
            time=pa.array([1_732_752_000_123_456_789], pa.timestamp("ns", "UTC")),
            event=["clicked"],
            search_id=["s"],
            image_id=["p"],
        ),
        parquet_row_read(
            {
                "time": "2024-11-28T00:00:00.123Z",
                "event": "clicked",
                "search_id": "s",
                "image_id": "p",
            }
        ),
    ),
    "state.jsonl": Sample(finished, b'{"source": "/photos"}\n"a"\n', {"a"}),
    "owner.json": Sample(lambda file: owner.find_owner(file.parent), owner_file(), OWNER),
    "sightline.toml": Sample(
        some_settings,
        b'mode = "services"\n[kafka]\nbootstrap_servers = "a:1"\n[decode]\nmax_bytes = 5\n',
        (Mode.SERVICES, "a:1", 5),
    ),
}
EDGES = (
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\0",
        b"\x80",
        b"\r",
        b"\n",
        b'"',
        b",",
        b"{",
        b"[",
        b"=",
        b"\\ud800",
    ),
    *(
        b"NaN",
        b"1e999",
        b"9" * 5_000,
        b"[" * 3_000,
        b'{"a":' * 3_000,
        b"-1",
        b"9999-99-99",
        b"path,path",
    ),
    *(b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"x" * 140_000),
)
PIECES = st.sampled_from(EDGES) | st.binary(max_size=4)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sound_file_says_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Else the tests below would damage what is refused anyway."""
    read, sound, value = SAMPLES[name]
    file = tmp_path / name
    file.write_bytes(sound)
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(file) if name.endswith("toml") else "")
    assert read(file) == value


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("odd", ["a pipe", "a device", "a folder", "nothing", "a gap"])
def test_what_is_no_file_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, odd: str
) -> None:
    """Nobody waits for a pipe's writer or a device's end, and a gap of 1 TB is not read."""
    file = tmp_path / name
    if odd == "a pipe":
        os.mkfifo(file)
    elif odd == "a device":
        file.symlink_to("/dev/zero")
    elif odd == "a folder":
        file.mkdir()
    elif odd == "a gap":
        file.touch()
        os.truncate(file, 2**40)
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(file) if name.endswith("toml") else "")
    with contextlib.suppress(SightlineError):
        SAMPLES[name].read(file)


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """A file of which up to four pieces are something else."""
    whole = bytearray(sound)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(whole)))
        until = min(len(whole), at + draw(st.integers(0, 12)))
        whole[at:until] = draw(PIECES)
    return bytes(whole)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_any_bytes_end_in_a_value_or_in_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: st.DataObject
) -> None:
    """A sound file with bytes changed, cut, doubled, or put in between."""
    read, sound, _ = SAMPLES[name]
    file = tmp_path / name
    file.write_bytes(data.draw(damaged(sound)))
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(file) if name.endswith("toml") else "")
    with contextlib.suppress(SightlineError):
        read(file)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("edge", EDGES)
def test_each_edge_alone_and_at_every_joint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, edge: bytes
) -> None:
    """As the whole file, in front, at the end, and in place of each value."""
    read, sound, _ = SAMPLES[name]
    file = tmp_path / name
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(file) if name.endswith("toml") else "")
    spots = [
        sound.find(value) for value in (b"a.jpg", b"1", b"private", b"5", b"s,") if value in sound
    ]
    for content in (
        edge,
        edge + sound,
        sound + edge,
        *(sound[:n] + edge + sound[n + 1 :] for n in spots),
    ):
        file.write_bytes(content)
        with contextlib.suppress(SightlineError):
            read(file)
