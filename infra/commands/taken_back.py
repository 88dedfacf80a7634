"""The record of a training in, how many of the triples that taught it hold no longer out."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sightline.engine.ports import ObjectStore

TOPIC, PARQUET = "topic", "parquet"
"""Where a run read its triples, as its record says it."""


def taken_back_since(store: ObjectStore, bucket: str, run: Mapping[str, Any]) -> int | None:
    """Count what people who were erased, or images that were hidden, taught it.

    Args:
        store: with what the sink wrote.
        bucket: our own.
        run: a `run.json`.

    Returns:
        None where nobody can tell: the run did not read the sink's files, or this installation
        reads no Parquet.

    Raises:
        PartUnavailable: the store did not answer.
    """
    if run.get("read_from", PARQUET) != PARQUET or find_spec("pyarrow") is None:
        return None
    from sightline.engine.label_data.triple_table import count_held  # noqa: PLC0415 - extra

    try:
        ends = {(at["log"], int(at["partition"])): int(at["end"]) for at in run["offsets"]}
        counted = int(run["counted"]["triples"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return counted - count_held(store, bucket, ends)


def taken_back_told(store: ObjectStore, bucket: str, run: Mapping[str, Any]) -> str | None:
    """The same for a person; None: nothing was taken back, or there is nobody to ask.

    Raises:
        PartUnavailable: the store did not answer.
    """
    if run.get("read_from") == TOPIC:
        return "it read the topic itself, so nobody counts what was taken back of its triples since"
    gone = taken_back_since(store, bucket, run)
    return f"{gone} triples that taught it were taken back since" if gone else None
