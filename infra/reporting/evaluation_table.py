"""An evaluation in, the lines of its table out."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.infra.commands.learning.evaluate import Evaluation, JudgedModel
from sightline.training.evaluation.versus import Row

_NAME = 24


def evaluation_lines(found: Evaluation) -> Iterator[str]:
    """The table, with what it rests on above it."""
    yield f"truth: {found.truth}"
    yield f"model: {found.model}"
    if found.against is None:
        yield f"{'':{_NAME}} {'model':>7}"
    else:
        yield f"against: {found.against}; bounds hold at 95 % each, drawn by {found.drawn_by}"
        yield f"{'':{_NAME}} {'against':>7} {'model':>7} {'gain':>8}"
    yield from (_line(row, found.drawn_by) for row in found.rows)
    if found.untold:
        yield found.untold


def verdict(judged: JudgedModel) -> Iterator[str]:
    """What the gate says, rule by rule, and in the end."""
    decision = judged.decision
    if judged.strength is not None:
        yield f"the gate, at strength {judged.strength:g}:"
    for line in decision.lines:
        yield f"{line.outcome:>10}  {line.rule}: {line.says}"
    more = f": {decision.needs} clusters more may decide it" if decision.needs else ""
    yield f"verdict: {decision.verdict}{more}"


def _line(row: Row, drawn_by: str) -> str:
    name = f"{row.name:{_NAME}}"
    difference = row.difference
    if row.before is None or difference is None:
        return f"{name} {row.after:7.4f}   ({row.queries} queries)"
    bounds = f"[{difference.lower:+.4f}, {difference.upper:+.4f}] p {difference.p_value:.3f}"
    rests = f"({difference.queries} queries, {difference.clusters} {drawn_by}s)"
    return f"{name} {row.before:7.4f} {row.after:7.4f} {difference.point:+8.4f} {bounds} {rests}"
