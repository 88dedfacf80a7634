"""The record of a training in, how many of the triples that taught it hold no longer out."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sightline.engine.ports import ObjectStore


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
    if run.get("read_from", "parquet") != "parquet" or find_spec("pyarrow") is None:
        return None
    from sightline.engine.label_data.triple_table import count_held  # noqa: PLC0415 - extra

    try:
        ends = {(at["log"], int(at["partition"])): int(at["end"]) for at in run["offsets"]}
        counted = int(run["counted"]["triples"])
    except (KeyError, TypeError, ValueError):
        return None
    return counted - count_held(store, bucket, ends)
