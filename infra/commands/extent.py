"""The record of a training in, how far to read to be like it, and what of it is no more, out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sightline.engine.errors import SettingsInvalid
from sightline.engine.label_data.judgements import Grade
from sightline.training.datasets.judgements import verdicts_of

if TYPE_CHECKING:
    from sightline.engine.label_data.triple_manifest import Ends

_JUDGEMENTS, _PROPENSITY = "judgements", "propensity_version"
NO_CURVE = 0
"""Stands for the version of the position-bias curve before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How far what people did and said is read; what is None, as far as it goes."""

    ends: Ends | None = None
    """The labelled topic: below these offsets."""
    judged_ms: int | None = None
    """Judgements that the log had by then, in milliseconds since 1970.

    By the log's time, which only grows: when somebody judged may be told long after.
    """
    propensity: int | None = None
    """The version of the position-bias curve that weighs clicks; `NO_CURVE`: none does."""

    def judged(self, judgements: Sequence[Grade]) -> tuple[Grade, ...]:
        """Those of all judgements that are read."""
        until = self.judged_ms
        return tuple(each for each in judgements if until is None or each.appended_ms <= until)


def extent_of(record: Mapping[str, Any]) -> Extent:
    """How far a training read, as its record tells; what it does not tell is None.

    Raises:
        SettingsInvalid: the record names no offsets, or another program wrote it.
    """
    try:
        ends = {(at["log"], int(at["partition"])): int(at["end"]) for at in record["offsets"]}
        judged_ms = int(record[_JUDGEMENTS]["until_ms"]) if _JUDGEMENTS in record else None
        curve = int(record[_PROPENSITY] or NO_CURVE) if _PROPENSITY in record else None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SettingsInvalid(
            f"the record of that training does not tell how far it read: {error}"
        ) from error
    return Extent(ends=ends, judged_ms=judged_ms, propensity=curve)


def judgements_record(judgements: Sequence[Grade]) -> dict[str, Any]:
    """What a record tells of the judgements that taught: up to when they came, what they say."""
    verdicts = sorted((pair, asdict(said)) for pair, said in verdicts_of(judgements).items())
    return {
        "until_ms": max((each.appended_ms for each in judgements), default=0),
        "verdicts": hashlib.sha256(json.dumps(verdicts, sort_keys=True).encode()).hexdigest(),
    }


def counted_in(record: Mapping[str, Any], what: str) -> int:
    """How many triples or judgements taught, as a record counts them; 0 where it does not."""
    counted = record.get("counted")
    found = counted.get(what) if isinstance(counted, Mapping) else None
    return found if isinstance(found, int) else 0


def judgements_told(record: Mapping[str, Any], judgements: Sequence[Grade]) -> str | None:
    """What became of the judgements that taught a training, for a person; None: they hold.

    Args:
        record: of the training.
        judgements: all there are now.

    Raises:
        SettingsInvalid: another program wrote the record.
    """
    then = counted_in(record, _JUDGEMENTS)
    if not then:
        return None
    if _JUDGEMENTS not in record:
        return "which judgements taught it is not recorded: a repeat reads all there are"
    left = extent_of(record).judged(judgements)
    if judgements_record(left) == record[_JUDGEMENTS]:
        return None
    return (
        f"the judgements that taught it were changed or erased since ({then} then, {len(left)} "
        "now): it is no longer reproducible"
    )


def triples_told(gone: int) -> str:
    """What became of triples that taught, for a person: so many hold no longer."""
    return f"{gone} triples that taught it were taken back since: it is no longer reproducible"


def unlike(record: Mapping[str, Any], triples: int, judgements: Sequence[Grade]) -> Iterator[str]:
    """Why a repeat may not end in the same head, for a person; nothing where it does.

    Args:
        record: of the training that is repeated.
        triples: how many the repeat read.
        judgements: those that it read.

    Raises:
        SettingsInvalid: another program wrote the record.
    """
    gone = counted_in(record, "triples") - triples
    if gone > 0:
        yield triples_told(gone)
    if told := judgements_told(record, judgements):
        yield told
    if _PROPENSITY not in record:
        yield "which position-bias curve weighed its clicks is not recorded: the newest does now"
