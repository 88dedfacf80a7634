"""Manifests: three formats, one meaning; what is wrong is said with row and column."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sightline.producers.backfill.manifest import ManifestInvalid, Row, read_manifest
from sightline.schemas.fields import Visibility

FULL = Row(
    path="a/ü 1.jpg",
    image_id="cat-1",
    tags=("red", "round"),
    owner="shop",
    visibility=Visibility.PUBLIC,
    version=7,
    group_id="g1",
    attributes={"price": 3, "note": None},
)
BARE = Row(path="b.jpg", version=0)


def test_csv_says_it_all(tmp_path: Path) -> None:
    """Every column; blanks are absent; columns we do not know are left out."""
    file = tmp_path / "m.csv"
    file.write_text(
        "\ufeffpath,image_id,tags,owner,visibility,version,group_id,attributes,extra\n"
        'a/ü 1.jpg,cat-1,red|round,shop,public,7,g1,"{""price"": 3, ""note"": null}",x\n'
        "b.jpg,,,,,0,,,\n"
    )
    assert read_manifest(file) == [FULL, BARE]


def test_jsonl_says_it_all(tmp_path: Path) -> None:
    """One object a line; blank lines are nothing."""
    file = tmp_path / "m.jsonl"
    file.write_text(FULL.model_dump_json() + "\n\n" + json.dumps({"path": "b.jpg", "version": 0}))
    assert read_manifest(file) == [FULL, BARE]


def test_parquet_says_it_all(tmp_path: Path) -> None:
    """Lists as tags, JSON as attributes, nulls are absent."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        FULL.model_dump(mode="json") | {"attributes": json.dumps(FULL.attributes)},
        {"path": "b.jpg", "version": 0},
    ]
    columns = {name: [row.get(name) for row in rows] for name in Row.model_fields}
    parquet.write_table(arrow.table(columns), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == [FULL, BARE]


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, the message says what to do."""
    (tmp_path / "m.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ManifestInvalid, match="pyarrow"):
        read_manifest(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.xlsx", "", "one of .csv"),
        ("m.csv", "file\na.jpg\n", "first line must name"),
        ("m.csv", "path,version\na.jpg,1\nb.jpg,\n", "some rows only"),
        ("m.csv", "path,version\na.jpg,x\n", "row 1: version"),
        ("m.csv", "path,version\na.jpg,-1\n", "row 1: version"),
        ("m.csv", "path,image_id\na.jpg,a b\n", "row 1: image_id"),
        ("m.csv", "path,image_id\na.jpg,..\n", "row 1: image_id"),
        ("m.csv", "path,visibility\na.jpg,everyone\n", "row 1: visibility"),
        ("m.csv", "path,attributes\na.jpg,{\n", "row 1: attributes"),
        ("m.csv", "path\na.jpg\na.jpg\n", "path 'a.jpg' is there twice"),
        ("m.csv", "path,image_id\na.jpg,x\nb.jpg,x\n", "image_id 'x' is there twice"),
        ("m.jsonl", '{"path": "a.jpg"}\nnot json\n', "line 2"),
        ("m.jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("m.jsonl", '{"image_id": "x"}\n', "row 1: path"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    """File, row, column and reason, before anything is published."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ManifestInvalid, match=said.replace(".", r"\.")):
        read_manifest(tmp_path / name)


def test_a_missing_manifest_is_said(tmp_path: Path) -> None:
    """The file is named."""
    with pytest.raises(ManifestInvalid, match=r"never\.csv"):
        read_manifest(tmp_path / "never.csv")
