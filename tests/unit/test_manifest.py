"""Manifests: three formats, one meaning; what is wrong is said with row and column."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from sightline.producers.backfill.manifest import ManifestInvalid, ManifestRow, read_manifest
from sightline.schemas.fields import Visibility

FULL = ManifestRow(
    path="a/ü 1.jpg",
    image_id="cat-1",
    tags=("red", "round"),
    owner="shop",
    visibility=Visibility.PUBLIC,
    version=7,
    group_id="g1",
    attributes={"price": 3, "note": None},
)
BARE = ManifestRow(path="b.jpg", version=0)


def test_csv_says_it_all(tmp_path: Path) -> None:
    """Every column; blanks are absent; blanks and case in names make no difference."""
    file = tmp_path / "m.csv"
    file.write_text(
        "\ufeffPath, image_id,tags,Owner ,VISIBILITY,version,\u00a0group_id,attributes\n"
        'a/ü 1.jpg,cat-1,red|round,shop, Public,7,g1,"{""price"": 3, ""note"": null}"\n'
        "\nb.jpg,,,,,0,,\n"
    )
    assert read_manifest(file) == [FULL, BARE]


def test_jsonl_says_it_all(tmp_path: Path) -> None:
    """One object a line; blank lines are nothing."""
    file = tmp_path / "m.jsonl"
    file.write_text(FULL.model_dump_json() + "\n\n" + json.dumps({"path": "b.jpg", "version": 0}))
    assert read_manifest(file) == [FULL, BARE]


def test_parquet_says_it_all(tmp_path: Path) -> None:
    """Lists as tags, JSON as attributes, nulls are absent."""
    rows = [
        FULL.model_dump(mode="json") | {"attributes": json.dumps(FULL.attributes)},
        {"path": "b.jpg", "version": 0},
    ]
    columns = {name: [row.get(name) for row in rows] for name in ManifestRow.model_fields}
    parquet.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == [FULL, BARE]


@pytest.mark.parametrize("column", ["path", "attributes", "tags"])
def test_a_small_file_of_huge_cells_is_refused(tmp_path: Path, column: str) -> None:
    """A megabyte that stands there 100,000 times takes 500 bytes there, and 100 GB once read."""
    file, rows = tmp_path / "m.parquet", 100_000
    once = pa.array([0] * rows, pa.int32())
    cells = pa.DictionaryArray.from_arrays(once, pa.array(["x" * 1_000_000]))
    columns = {"path": pa.array(map(str, range(rows))), column: cells}
    if column == "tags":
        columns = {"path": pa.array(["a"]), "tags": pa.array([["x"] * 10_000])}
    parquet.write_table(pa.table(columns), file)
    assert file.stat().st_size < 2_000_000
    with pytest.raises(ManifestInvalid, match=f"column '{column}' has a"):
        read_manifest(file)


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
        ("m.csv", "path,version\na.jpg,x\n", "line 2: version"),
        ("m.csv", "path,version\na.jpg,-1\n", "line 2: version"),
        ("m.csv", "path,image_id\na.jpg,a b\n", "line 2: image_id"),
        ("m.csv", "path,image_id\na.jpg,..\n", "line 2: image_id"),
        ("m.csv", "path,visibility\na.jpg,everyone\n", "line 2: visibility"),
        ("m.csv", "path,attributes\na.jpg,{\n", "line 2: attributes"),
        ("m.csv", "path\na.jpg\na.jpg\n", "path 'a.jpg' is there twice"),
        ("m.csv", "path,image_id\na.jpg,x\nb.jpg,x\n", "image_id 'x' is there twice"),
        ("m.csv", "path,version\na.jpg,1_0\n", "line 2: version"),
        ("m.csv", "path,version\na.jpg,٣\n", "line 2: version"),
        ("m.csv", 'path,attributes\na.jpg,"{""a"": 1, ""a"": 2}"\n', "line 2: attributes"),
        ("m.csv", 'path,tags\n"a.jpg,red\n', "line 2"),
        ("m.csv", "path\n\n   \n", "line 3: path"),
        ("m.csv", "", "first line must name"),
        ("m.jsonl", '{"path": "a.jpg"}\nnot json\n', "line 2"),
        ("m.jsonl", '{"path": "a.jpg", "tags": 0}\n', "line 1: tags"),
        ("m.jsonl", '{"path": ""}\n', "line 1: path"),
        ("m.jsonl", '{"path": ' + "[" * 100_000 + "\n", "line 1 the JSON is nested too deep"),
        ("m.jsonl", '{"path": "a.jpg", "version": ' + "9" * 5_000 + "}", "line 1"),
        ("m.jsonl", '{"path": "a.jpg", "attributes": {"x": NaN}}', "line 1"),
        ("m.csv", f"path\n{'x' * 2**20}\n", "line 2 has more than 1,048,576 characters"),
        ("m.jsonl", '{"path": "a.jpg"}' + " " * 2**20, "line 1 has more than"),
        ("m.jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("m.jsonl", '{"image_id": "x"}\n', "line 1: path"),
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


COLUMNS_OF_NO_MEANING = {
    "misspelt": (["path", "visiblity"], ["a.jpg", "private"]),
    "twice": (["path", "visibility", "visibility"], ["a.jpg", "public", "private"]),
    "twice but for case": (["path", "visibility", "Visibility"], ["a.jpg", "public", "private"]),
    "invisible character": (["path", "visibility\u200b"], ["a.jpg", "private"]),
    "no name": (["path", " "], ["a.jpg", "private"]),
    "two in one": (["path", "tags;visibility"], ["a.jpg", "red;private"]),
}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("case", COLUMNS_OF_NO_MEANING)
def test_no_column_is_dropped(tmp_path: Path, case: str, suffix: str) -> None:
    """It could be the one that says private: whichever cannot be placed is refused by name."""
    names, cells = COLUMNS_OF_NO_MEANING[case]
    file = write(tmp_path / f"m.{suffix}", names, cells)
    place = "" if suffix == "parquet" else "line 1:?"
    with pytest.raises(ManifestInvalid, match=f"{place}.*(column|key)") as caught:
        read_manifest(file)
    assert repr(names[-1].strip().lower()) in str(caught.value) or "has no name" in str(
        caught.value
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["Visibility", " visibility", "visibility ", "\u00a0VISIBILITY\t"])
def test_blanks_and_case_are_understood(tmp_path: Path, name: str, suffix: str) -> None:
    """A private row stays private, however its column is spelt."""
    file = write(tmp_path / f"m.{suffix}", ["path", name], ["a.jpg", "private"])
    assert read_manifest(file)[0].visibility is Visibility.PRIVATE


@pytest.mark.parametrize("row", ["a.jpg,private", "a.jpg,red,private,x", "a.jpg", ",,,"])
def test_a_row_has_as_many_cells_as_the_header(tmp_path: Path, row: str) -> None:
    """A cell that is missing or left over may have been the visibility: refused with its line."""
    file = tmp_path / "m.csv"
    file.write_text(f"path,tags,visibility\nb.jpg,red,public\n{row}\n")
    with pytest.raises(ManifestInvalid, match=r"line 3 has . cells, but the header names 3"):
        read_manifest(file)


def test_a_byte_order_mark_is_understood(tmp_path: Path) -> None:
    """In JSON lines as in CSV."""
    file = tmp_path / "m.jsonl"
    file.write_text('\ufeff{"path": "a.jpg"}\n')
    assert [row.path for row in read_manifest(file)] == ["a.jpg"]


def write(file: Path, names: list[str], cells: list[str]) -> Path:
    """One row under a header, in the format of the file's suffix."""
    if file.suffix == ".csv":
        file.write_text(",".join(names) + "\n" + ",".join(cells) + "\n")
    elif file.suffix == ".jsonl":
        pairs = zip(names, cells, strict=True)
        file.write_text(
            "{" + ", ".join(f"{json.dumps(n)}: {json.dumps(c)}" for n, c in pairs) + "}"
        )
    else:
        table = pa.Table.from_arrays([pa.array([cell]) for cell in cells], names=names)
        parquet.write_table(table, file)
    return file
