"""Whose events an embedded index holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.engine.errors import OriginMismatch
from sightline.engine.vector_index.edge.origin import FILE, IndexOrigin, check_origin, record_origin

OURS = IndexOrigin(log="Kafka cluster abc", bucket="sightline")


def test_the_same_origin_is_let_through_again(tmp_path: Path) -> None:
    """An index that says nothing yet is believed; one that says the same is opened."""
    check_origin(tmp_path / "none yet", OURS)
    record_origin(tmp_path, OURS)
    check_origin(tmp_path, OURS)


@pytest.mark.parametrize(
    "other",
    [
        IndexOrigin(log="Kafka cluster abc, topics search.*", bucket="sightline"),
        IndexOrigin(log="Kafka cluster abc", bucket="theirs"),
    ],
)
def test_another_origin_is_refused_and_does_not_take_over(
    tmp_path: Path, other: IndexOrigin
) -> None:
    """Neither another log nor another bucket; what was recorded stays."""
    record_origin(tmp_path, OURS)
    with pytest.raises(OriginMismatch, match="was made from Kafka cluster abc and bucket") as told:
        check_origin(tmp_path, other)
    assert str(other) in str(told.value)
    assert FILE in str(told.value)
    record_origin(tmp_path, other)
    check_origin(tmp_path, OURS)
