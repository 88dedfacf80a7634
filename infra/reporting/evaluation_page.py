"""An evaluation with example rankings in, one HTML page out that needs nothing else.

Every picture is inside the page, and nothing in it runs. Names and labels are escaped, since a
manifest may hold anything.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from sightline.infra.commands.learning.evaluate import Evaluation, JudgedModel
from sightline.infra.commands.learning.query_set import Example
from sightline.infra.reporting.evaluation_table import verdict
from sightline.training.evaluation.retrieval import CUTS
from sightline.training.evaluation.versus import Row

_WIDTH, _HEIGHT, _EDGE = 300, 180, 28
_SPAN = _HEIGHT - 2 * _EDGE
_BAR, _BAR_STEP = 50, 130
_UNCUT = ("mAP", "MRR")
"""The measures that look at whole rankings, not at their first k."""
_STYLE = """
body { font: 14px sans-serif; margin: 2em; color: #1f2933 }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: right }
th:first-child, td:first-child { text-align: left }
.row { display: flex; gap: 4px; margin: 4px 0; align-items: center }
.row img { border: 4px solid #e4e7eb; border-radius: 3px } .row img.right { border-color: #2f9e6e }
.row img.query { margin-right: 1.5em }
"""


def evaluation_page(
    found: Evaluation,
    judged: JudgedModel | None,
    examples: Sequence[Example],
    learning_curve: bytes | None = None,
) -> str:
    """The whole page: figures, curves, verdict, and the queries that moved most.

    Args:
        found: what was measured.
        judged: what the gate says; none: it was not asked.
        examples: queries with what either model finds.
        learning_curve: an SVG of the model's training, where there was one.
    """
    title = f"{found.model} against {found.against}" if found.against else found.model
    parts = (
        f"<h1>{escape(title)}</h1><p>{escape(found.truth)}</p>",
        _table(found.rows),
        f"<p>{escape(found.untold)}</p>" if found.untold else "",
        _bars(found),
        *(_drawn(measure, found) for measure in ("precision", "recall", "ndcg")),
        *_learnt(learning_curve),
        *_decision(judged),
        *(_example(each) for each in examples),
        *_unread(examples),
    )
    head = f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>'
    return f"{head}<style>{_STYLE}</style>{''.join(parts)}\n"


def _table(rows: Sequence[Row]) -> str:
    heads = ("", "against", "model", "gain", "surely above", "surely below", "p", "queries")
    cells = "".join(f"<th>{name}</th>" for name in heads)
    return f"<table><tr>{cells}</tr>{''.join(_table_row(row) for row in rows)}</table>"


def _table_row(row: Row) -> str:
    found, before = row.difference, "" if row.before is None else f"{row.before:.4f}"
    bounds = ("", "", "", "")
    if found is not None:
        gain = (f"{found.point:+.4f}", f"{found.lower:+.4f}", f"{found.upper:+.4f}")
        bounds = (*gain, f"{found.p_value:.3f}")
    cells = (escape(row.name), before, f"{row.after:.4f}", *bounds, str(row.queries))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _bars(found: Evaluation) -> str:
    """The measures without a cut, as bars in the colours of the lines below."""
    bars = (
        _bar(_EDGE + at * _BAR_STEP + beside * _BAR, metrics[measure], ink)
        for at, measure in enumerate(_UNCUT)
        for beside, (metrics, ink) in enumerate(_both(found))
    )
    names = (
        f'<text x="{_EDGE + at * _BAR_STEP}" y="{_HEIGHT - 8}">{measure}</text>'
        for at, measure in enumerate(_UNCUT)
    )
    return _svg(" and ".join(_UNCUT), "".join((*bars, *names)))


def _bar(x: int, value: float, ink: str) -> str:
    top, height = _HEIGHT - _EDGE - value * _SPAN, value * _SPAN
    bar = f'<rect x="{x}" y="{top:.1f}" width="{_BAR - 4}" height="{height:.1f}" fill="{ink}"/>'
    return f'{bar}<text x="{x}" y="{top - 4:.1f}">{value:.3f}</text>'


def _svg(title: str, drawn: str) -> str:
    name = f'<text x="{_EDGE}" y="14">{title}, from 0 to 1</text>'
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" font-size="12">{name}{drawn}</svg>'


def _both(found: Evaluation) -> list[tuple[Mapping[str, float], str]]:
    """What is compared with and the model, where there are both, with the colour of each."""
    both = ((found.metrics_against, "#9aa5b1"), (found.metrics, "#0b6fbf"))
    return [(metrics, ink) for metrics, ink in both if metrics]


def _drawn(measure: str, found: Evaluation) -> str:
    """A measure by its cut, as lines: grey what is compared with, blue the model."""
    lines = "".join(
        _line([metrics[f"{measure}@{k}"] for k in CUTS], ink) for metrics, ink in _both(found)
    )
    cuts = "".join(
        f'<text x="{_x(at):.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{cut}</text>'
        for at, cut in enumerate(CUTS)
    )
    return _svg(f"{measure}@k", lines + cuts)


def _line(values: Sequence[float], ink: str) -> str:
    points = (
        f"{_x(at):.1f},{_HEIGHT - _EDGE - value * _SPAN:.1f}" for at, value in enumerate(values)
    )
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{ink}" stroke-width="2"/>'


def _x(at: int) -> float:
    return _EDGE + at / (len(CUTS) - 1) * (_WIDTH - 2 * _EDGE)


def _learnt(curve: bytes | None) -> Iterator[str]:
    """The curve as an image, in which no script would run."""
    if curve is not None:
        data = base64.b64encode(curve).decode()
        yield f'<p><img alt="learning curve" src="data:image/svg+xml;base64,{data}"></p>'


def _decision(judged: JudgedModel | None) -> Iterator[str]:
    if judged is not None:
        yield f"<h2>The gate</h2><pre>{escape(chr(10).join(verdict(judged)))}</pre>"


def _unread(examples: Sequence[Example]) -> Iterator[str]:
    """How many pictures are not shown since they cannot be read any more, each place counted."""
    shown = [photo for each in examples for ranking in each.rankings for photo, _ in ranking.found]
    count = [*shown, *(each.query for each in examples)].count(None)
    if count:
        yield f"<p>{count} pictures are gone, or cannot be read any more.</p>"


def _example(example: Example) -> str:
    query = _picture(example.query, "query")
    rows = "".join(
        f'<div class="row">{query}{"".join(_result(*each) for each in ranking.found)}'
        f"<span>{ranking.average_precision:.3f} {escape(ranking.model)}</span></div>"
        for ranking in example.rankings
    )
    return f"<h3>{escape(example.label)}</h3>{rows}"


def _result(photo: bytes | None, relevant: bool) -> str:  # noqa: FBT001 - a pair of the ranking
    return _picture(photo, "right" if relevant else "other")


def _picture(photo: bytes | None, kind: str) -> str:
    if photo is None:
        return f'<img class="{kind}" alt="gone" width="96">'
    data = base64.b64encode(photo).decode()
    return f'<img class="{kind}" alt="{kind}" src="data:image/jpeg;base64,{data}">'
