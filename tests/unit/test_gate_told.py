"""What an event tells of a gate's decision, and which slices labels make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import EmbedderSettings
from sightline.infra.commands.learning.evaluate import gate_lines
from sightline.infra.commands.learning.measured_on import clicked_labels
from sightline.infra.commands.learning.photo_set import PhotoSet
from sightline.schemas.models import MAX_LINES
from sightline.training.evaluation.gate import GateDecision, GateVerdict, Line, RuleOutcome
from sightline.training.evaluation.tag_slices import MOST_TAGS, TagSlices, tag_slices


def line(name: str, outcome: RuleOutcome) -> Line:
    """What a rule found."""
    return Line(rule=name, outcome=outcome, says="so")


def test_all_lines_that_decided_are_told_and_of_the_others_what_has_room() -> None:
    """Many small slices must not keep a released model out of the registry."""
    reported = [line(f"slice {n}", RuleOutcome.REPORTED) for n in range(MAX_LINES + 40)]
    first, last = line("better", RuleOutcome.PASSED), line("served", RuleOutcome.PASSED)
    told = gate_lines(GateDecision(GateVerdict.RELEASED, (first, *reported, last)))
    assert len(told) == MAX_LINES
    assert (told[0].rule, told[1].rule, told[-1].rule) == ("better", "slice 0", "served")


def test_labels_without_a_domain_make_no_slices(tmp_path: Path) -> None:
    """Else each label were a slice of its own, and a line of the verdict."""

    def domains(*labels: str) -> list[str]:
        rows = [f"{at}.jpg,{label},{split}" for at, label in enumerate(labels) for split in SPLITS]
        (tmp_path / "manifest.csv").write_text("\n".join(["image,label,split", *rows]) + "\n")
        return sorted(PhotoSet(tmp_path, EmbedderSettings()).domains())

    assert domains("ball", "ring") == []
    assert domains("shop/ball", "shop/ring") == []
    assert domains("shop/ball", "zoo/cat/black", "ring") == ["shop", "zoo"]


def test_labels_that_were_clicked_and_others_have_rows_and_the_gate_slices_by_domain(
    tmp_path: Path,
) -> None:
    """What people clicked and what nobody did are told apart; harm is looked for by domain."""
    labels = ("shop/ball", "shop/ring", "zoo/cat")
    rows = [f"{at}.jpg,{label},{split}" for at, label in enumerate(labels) for split in SPLITS]
    (tmp_path / "manifest.csv").write_text("\n".join(["image,label,split", *rows]) + "\n")
    photos = PhotoSet(tmp_path, EmbedderSettings(), clicked={"shop/ring": 0})
    domains = photos.domains()
    assert list(domains) == ["labels clicked", "labels not clicked", "shop", "zoo"]
    assert domains["labels clicked"].tolist() == [False, True, False]
    assert domains["labels not clicked"].tolist() == [True, False, True]
    assert photos.groups is not None
    assert list(photos.groups.slices) == ["shop", "zoo"]
    every = PhotoSet(tmp_path, EmbedderSettings(), clicked=dict.fromkeys(labels, 0))
    assert list(every.domains()) == ["shop", "zoo"]


def test_labels_that_were_clicked_more_often_are_hot(tmp_path: Path) -> None:
    """Where the file says how often; a label without a click is cold, and the gate sees both."""
    labels = ("ball", "ring", "cat", "dog")
    rows = [f"{at}.jpg,{label},{split}" for at, label in enumerate(labels) for split in SPLITS]
    (tmp_path / "manifest.csv").write_text("\n".join(["image,label,split", *rows]) + "\n")
    (tmp_path / "clicked.txt").write_text("ball\t900\nring\t20\ncat\n")
    counts = clicked_labels(tmp_path / "clicked.txt")
    photos = PhotoSet(tmp_path, EmbedderSettings(), clicked=counts)
    assert photos.groups is not None
    assert list(photos.groups.slices) == ["hot", "cold"]
    assert photos.labels[photos.domains()["hot"]].tolist() == ["ball", "ring"]
    assert photos.labels[photos.domains()["cold"]].tolist() == ["cat", "dog"]
    (tmp_path / "clicked.txt").write_text("ball\tmany\n")
    with pytest.raises(SettingsInvalid, match="many"):
        clicked_labels(tmp_path / "clicked.txt")


def test_tags_of_a_manifest_are_slices_where_they_are_on_labels_enough(tmp_path: Path) -> None:
    """What is on fewer is named; the gate decides by none of them."""
    tagged = ["red| new "] * 20 + ["red"] * 5 + [""] * 15
    rows = [
        f"{at}.jpg,thing-{at},{split},{tags}|t{at % 2}"
        for at, tags in enumerate(tagged)
        for split in SPLITS
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(["image,label,split,tags", *rows]) + "\n")
    photos = PhotoSet(tmp_path, EmbedderSettings(), clicked={"thing-1": 0})
    tags = photos.tags()
    assert list(tags.masks) == ["tag red", "tag new", "tag t0", "tag t1"]
    assert tags.masks["tag new"].tolist() == [True] * 20 + [False] * 20
    assert tags.untold() == ""
    assert photos.groups is not None
    assert photos.groups.slices == {}


def test_tags_are_bounded_and_those_on_few_kinds_are_named() -> None:
    """However many an owner gives: the commonest are told, and how many are not."""
    kinds = np.arange(30) // 2
    tags = [["all", f"one-{kind:02}", *(f"many-{n:02}" for n in range(14))] for kind in kinds]
    found = tag_slices(tags, kinds, least=10)
    assert len(found.masks) == MOST_TAGS
    assert next(iter(found.masks)) == "tag all"
    assert found.more == 15 - MOST_TAGS
    assert found.small == tuple((f"one-{kind:02}", 1) for kind in range(15))
    assert found.untold().startswith("tags on too few kinds to tell: one-00 (1), one-01 (1), ")
    assert found.untold().endswith(
        "one-11 (1); and 3 more; 3 more tags are large enough, and not shown"
    )
    assert tag_slices([[], []], np.arange(2), least=1) == TagSlices({})


SPLITS = ("query", "gallery")
