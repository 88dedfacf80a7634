"""What goes all the way from the wire to a verdict, round by round, and how two ways compare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.command_way import Learnt
from benchmarks.from_the_wire import Log, in_round
from benchmarks.label_replay import closed_searches
from sightline.engine.label_data.triple_columns import triples_table
from sightline.engine.label_data.triple_table import HeldTriples
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.loop.run_folder import HEAD, RECORD
from tests.drawn_photos import WIDTH, drawn_site

LOG = Log(name="few", records=60)


def test_a_later_round_is_of_the_next_model_and_of_people_who_come_later() -> None:
    """All its searches count, beside those before it; without the shift all would come late."""
    site = drawn_site()
    turned = replace(site.start, matrix=np.diag(np.arange(WIDTH)).astype(np.float32))
    first = in_round(site, LOG, 1, [])
    second = in_round(site.ranked_by(turned, "m2"), LOG, 2, first)
    closed = closed_searches([*first, *second], LabelRules())
    digests = [s.model_digest for _, each in sorted(closed.items()) for _, s in each]
    assert digests == sorted(digests)
    counts = [len(closed_searches(some, LabelRules())) for some in (first, second)]
    assert set(digests) == {"m1", "m2"}
    assert len(closed) == sum(counts)


@pytest.fixture
def learnt(tmp_path: Path) -> Learnt:
    """Of no triples, with a head and a record."""
    (tmp_path / HEAD).write_bytes(b"head")
    (tmp_path / RECORD).write_text("{}")
    return Learnt(HeldTriples(triples_table([]), {("log", 0): 3}), tmp_path, "d1")


def test_two_ways_tell_what_they_do_not_share(learnt: Learnt, tmp_path: Path) -> None:
    """Nothing where all is equal; else by name."""
    other = tmp_path / "other"
    other.mkdir()
    (other / HEAD).write_bytes(b"another")
    (other / RECORD).write_text("{}")
    assert learnt.differing(learnt) == []
    held = replace(learnt.held, ends={("log", 0): 4})
    assert learnt.differing(replace(learnt, held=held, run=other, digest="d2")) == [
        "ends of partitions",
        HEAD,
        "digest",
    ]
