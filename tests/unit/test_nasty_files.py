import contextlib
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.prepare import prepare, render
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from tests.nasty_files import has_collection, is_made, oriented_scenes
from tests.patience import patient

MEMORY_BYTES = 3 * 512 * 1024**2
DECODE_ALL = """
import json, resource, sys
from pathlib import Path
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (4 * limit, 4 * limit))
from sightline.engine.records.framing import Framing
from sightline.engine.pictures.prepare import prepare, render
from sightline.engine.errors import BadImage
from sightline.engine.settings import DecodeSettings
limits, verdicts = DecodeSettings(), {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    try:
        prepare(data, limits=limits, framing=Framing(224))
        render(data, limits=limits, max_side=512)
        verdicts[path.name] = ["accept", "", ""]
    except BadImage as error:
        verdicts[path.name] = ["reject", error.reason.value, str(error)]
# not ru_maxrss: a child inherits its parent's
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) * 1024
print(json.dumps({"peak": peak, "verdicts": verdicts}))
"""


def test_every_nasty_file_gets_its_verdict_in_bounded_memory(nasty: Path) -> None:
    """The manifest's verdict for each file, a sentence with each rejection, under 1.5 GiB."""
    done = subprocess.run(
        [sys.executable, "-c", DECODE_ALL, str(nasty / "files"), str(MEMORY_BYTES)],
        capture_output=True,
        check=True,
        timeout=patient(120),
    )
    told = json.loads(done.stdout)
    with (nasty / "manifest.csv").open(newline="") as file:
        expected = {Path(row["file"]).name: row["expect"] for row in csv.DictReader(file)}
    verdicts = told["verdicts"]
    assert verdicts.keys() == expected.keys()
    wrong = {
        name: verdicts[name]
        for name, expect in expected.items()
        if expect not in {"either", verdicts[name][0]}
    }
    assert not wrong
    assert all(len(message) > 20 for what, _, message in verdicts.values() if what == "reject")
    assert told["peak"] < MEMORY_BYTES


COLLECTED = [
    ("*_zero-bytes_*", RejectReason.EMPTY),
    ("*.svg", RejectReason.UNSUPPORTED_MEDIA),
    ("*_not-image_*", RejectReason.UNSUPPORTED_MEDIA),
    ("02[36]_truncated_*", RejectReason.TRUNCATED),
    ("096_truncated_*", RejectReason.TRUNCATED),
    ("029_corrupt_*", RejectReason.CORRUPT),
    ("10[01]_bomb_*", RejectReason.TOO_MANY_PIXELS),
    ("032_bomb_*", RejectReason.TOO_MANY_PIXELS),
    ("031_bomb_*", RejectReason.TOO_MANY_BYTES),
]
"""Reasons of the collection's files; what the tests make tells its own in the manifest."""


def test_reasons(nasty: Path) -> None:
    """What is wrong decides the reason."""
    with (nasty / "manifest.csv").open(newline="") as file:
        expected = {
            nasty / r["file"]: RejectReason(r["reason"])
            for r in csv.DictReader(file)
            if r["reason"]
        }
    collected = has_collection(nasty)
    for pattern, reason in COLLECTED:
        of_this_kind = [path for path in (nasty / "files").glob(pattern) if not is_made(path)]
        assert bool(of_this_kind) is collected, pattern
        expected.update(dict.fromkeys(of_this_kind, reason))
    assert len(expected) > 20
    found = {path.name: _reason(path) for path in expected}
    assert found == {path.name: reason for path, reason in expected.items()}


def _reason(path: Path) -> RejectReason | None:
    try:
        prepare(path.read_bytes(), limits=DecodeSettings(), framing=Framing(224))
    except BadImage as error:
        return error.reason
    return None


def test_orientations_of_one_scene_look_alike(nasty: Path) -> None:
    """The files of one scene in several EXIF orientations give nearly one crop."""
    for paths in oriented_scenes(nasty):
        crops = [
            prepare(path.read_bytes(), limits=DecodeSettings(), framing=Framing(224)).crop.astype(
                int
            )
            for path in paths
        ]
        assert max(np.abs(crop - crops[0]).mean() for crop in crops) < 3


def test_trailing_data_do_not_reach_the_rendition(nasty: Path) -> None:
    """A picture that is also a ZIP archive is served as a picture only; GPS stays here."""
    for kind in ("polyglot", "exif-gps"):
        paths = list((nasty / "files").glob(f"*_{kind}_*"))
        assert paths
        for path in paths:
            clean = render(path.read_bytes(), limits=DecodeSettings(), max_side=640)
            assert b"PK\x03\x04" not in clean
            assert b"Exif" not in clean


SMALL = DecodeSettings(max_bytes=2_000_000, max_pixels=4_000_000, max_frames=50)


@settings(max_examples=150)
@given(data=st.data())
def test_mutilated_files_never_raise_anything_else(nasty: Path, data: st.DataObject) -> None:
    """Cut, flipped and repeated bytes of real files end in a crop or in `BadImage`."""
    names = sorted(p.name for p in (nasty / "files").iterdir() if 0 < p.stat().st_size < 60_000)
    whole = bytearray((nasty / "files" / data.draw(st.sampled_from(names))).read_bytes())
    place = st.integers(0, len(whole) - 1)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=12)):
        whole[at] = value
    start, end = sorted((data.draw(place), data.draw(place)))
    action = data.draw(st.sampled_from(["keep", "cut", "drop", "repeat"]))
    mutilated = {
        "keep": whole,
        "cut": whole[:end],
        "drop": whole[:start] + whole[end:],
        "repeat": whole[:end] + whole[start:],
    }[action]
    with contextlib.suppress(BadImage):
        assert prepare(bytes(mutilated), limits=SMALL, framing=Framing(32)).crop.shape == (
            32,
            32,
            3,
        )
