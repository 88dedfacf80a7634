"""Every reader of a file that somebody hands us: any bytes end in a value or in our own error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sightline.engine.connecting import owner
from sightline.engine.errors import SightlineError
from sightline.engine.settings import load_settings
from sightline.producers.backfill.manifest import read_manifest
from sightline.producers.backfill.record import Resume
from sightline.producers.interactions.history.rows import read_log

NOW = datetime(2026, 11, 1, tzinfo=UTC)
JOB = {"source": "/photos"}


def table(**columns: object) -> bytes:
    """A Parquet file."""
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    return out.getvalue()


LOG = (
    b"time,event,search_id,session_id,anchor_id,image_id,score\n"
    b"1732752000123,shown,s,u,a,p,0.5\n2026-01-01T00:00:00Z,clicked,s,u,,p,\n"
)
READERS: dict[str, tuple[Callable[[Path], object], bytes]] = {
    "manifest.csv": (
        read_manifest,
        b'path,visibility,version,attributes\na.jpg,private,1,"{""a"": [1]}"\nb.jpg,public,2,\n',
    ),
    "manifest.jsonl": (
        read_manifest,
        b'{"path": "a.jpg", "visibility": "private", "tags": ["x"], "attributes": {"a": [1.5]}}\n',
    ),
    "manifest.parquet": (read_manifest, table(path=["a.jpg"], tags=[["x", "y"]])),
    "log.csv": (
        lambda file: read_log(file, now=NOW),
        LOG,
    ),
    "log.parquet": (
        lambda file: read_log(file, now=NOW),
        table(
            time=pa.array([1_732_752_000_123_456_789], pa.timestamp("ns", "UTC")),
            event=["clicked"],
            search_id=["s"],
            image_id=["p"],
        ),
    ),
    "state.jsonl": (
        lambda file: Resume(file, JOB).__exit__(None, None, None),
        b'{"source": "/photos"}\n"a"\n',
    ),
    "owner.json": (
        lambda file: owner.find(file.parent),
        b'{"url": "http://x", "pid": 1, "birth": ""}',
    ),
    "sightline.toml": (
        lambda _: load_settings(),
        b'mode = "services"\n[kafka]\nbootstrap_servers = "a:1"\n[decode]\nmax_bytes = 5\n',
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


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_any_bytes_end_in_a_value_or_in_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: st.DataObject
) -> None:
    """A sound file with bytes changed, cut, doubled, or put in between."""
    read, sound = READERS[name]
    whole = bytearray(sound)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(whole)))
        until = min(len(whole), at + data.draw(st.integers(0, 12)))
        whole[at:until] = data.draw(st.sampled_from(EDGES) | st.binary(max_size=4))
    file = tmp_path / name
    file.write_bytes(whole)
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(file) if name.endswith("toml") else "")
    with contextlib.suppress(SightlineError):
        read(file)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("edge", EDGES)
def test_each_edge_alone_and_at_every_joint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, edge: bytes
) -> None:
    """As the whole file, in front, at the end, and in place of each value."""
    read, sound = READERS[name]
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
