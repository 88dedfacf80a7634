"""The record of a training in, how much of what taught it holds no longer out."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sightline.engine.errors import PartUnavailable, RefusedToStart
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.extent import counted_in, judgements_told, triples_told
from sightline.infra.commands.kept_messages import read_judgements

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


def taken_back_told(settings: Settings, store: ObjectStore, run: Mapping[str, Any]) -> str | None:
    """The same for a person, and of judgements; None: all holds, or there is nobody to ask.

    Raises:
        PartUnavailable: the store did not answer.
    """
    told = (_triples_told(store, settings.store.bucket, run), _judgements_told(settings, run))
    return "; ".join(filter(None, told)) or None


def _triples_told(store: ObjectStore, bucket: str, run: Mapping[str, Any]) -> str | None:
    if run.get("read_from") == TOPIC:
        return "it read the topic itself, so nobody counts what was taken back of its triples since"
    gone = taken_back_since(store, bucket, run)
    return triples_told(gone) if gone else None


def _judgements_told(settings: Settings, run: Mapping[str, Any]) -> str | None:
    if not counted_in(run, "judgements"):
        return None
    try:
        return judgements_told(run, read_judgements(settings))
    except (PartUnavailable, RefusedToStart) as error:
        return f"nobody can tell whether the judgements that taught it hold: {error}"
