"""What an event tells of a gate's decision, and which slices labels make."""

from __future__ import annotations

from pathlib import Path

from sightline.engine.settings import EmbedderSettings
from sightline.infra.commands.learning.evaluate import gate_lines
from sightline.infra.commands.learning.photo_set import PhotoSet
from sightline.schemas.models import MAX_LINES
from sightline.training.evaluation.gate import GateDecision, GateVerdict, Line, RuleOutcome


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
    photos = PhotoSet(tmp_path, EmbedderSettings(), clicked=["shop/ring"])
    domains = photos.domains()
    assert list(domains) == ["labels clicked", "labels not clicked", "shop", "zoo"]
    assert domains["labels clicked"].tolist() == [False, True, False]
    assert domains["labels not clicked"].tolist() == [True, False, True]
    assert photos.groups is not None
    assert list(photos.groups.slices) == ["shop", "zoo"]
    every = PhotoSet(tmp_path, EmbedderSettings(), clicked=labels)
    assert list(every.domains()) == ["shop", "zoo"]


SPLITS = ("query", "gallery")
