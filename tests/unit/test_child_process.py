"""A child ends with its parent and leaves without a word from the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sightline.infra.supervision.child_process import read_line
from tests.patience import patient

_SCRIPT = """
import sys, threading
from sightline.infra.supervision.child_process import end_with_parent, leave, read_line
told = read_line(0)
end_with_parent(0)
print(told.decode().strip(), flush=True)
def work():
    {work}
leave(work)
"""


def child(work: str) -> subprocess.Popen[bytes]:
    """A child that says what it was told, and then works."""
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT.format(work=work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def told(process: subprocess.Popen[bytes]) -> None:
    """Hand it its line, and hear that it has it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"a line\nand more")
    process.stdin.flush()
    assert process.stdout.readline() == b"a line\n"


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("pass", 0, b""),
        ("sys.exit(3)", 3, b""),
        ("sys.exit('why')", 1, b""),
        ("raise OSError('the reason')", 1, b"the reason"),
        ("threading.Thread(target=threading.Event().wait).start()", 0, b""),
    ],
)
def test_it_ends_while_its_parent_still_holds_the_stream(work: str, code: int, said: bytes) -> None:
    """A thread waits in the stream all the while; the interpreter does not die of its lock."""
    with child(work) as process:
        told(process)
        assert process.wait(patient(60)) == code
        assert process.stderr is not None
        complaint = process.stderr.read()
    assert b"Fatal Python error" not in complaint
    assert said in complaint if said else complaint == b""


def test_it_ends_when_its_parent_is_gone() -> None:
    """Whatever it does meanwhile."""
    with child("threading.Event().wait()") as process:
        told(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(patient(60)) == 0


def test_a_line_that_stops_short_is_told_as_far_as_it_came() -> None:
    """The parent went before it had said all."""
    reading, writing = os.pipe()
    os.write(writing, b"one\nhalf")
    os.close(writing)
    assert (read_line(reading), read_line(reading), read_line(reading)) == (b"one\n", b"half", b"")
    os.close(reading)
