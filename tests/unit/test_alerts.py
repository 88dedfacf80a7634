"""infra/alerts and infra/dashboards: rules that parse, on metrics that exist, with a way to act.

Prometheus itself is not at hand. An expression that it would take and that can never match, since
its two sides have other labels or a label is none of the metric's, is found here as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import promql_parser as promql
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from sightline.engine.metrics import Metrics
from tests.conftest import ROOT

ALERTS = ROOT / "infra/alerts"
DASHBOARDS = ROOT / "infra/dashboards"
RUNBOOK = "docs/runbook.md"
ROOMS = ("schemas", "engine", "stream_workers", "search_api", "training", "infra")
SCRAPED = frozenset({"instance", "job"})
"""Labels that Prometheus gives to everything it reads."""
TOLD = re.compile(r"\{\{\s*\$labels\.(\w+)")
SHOWN = re.compile(r"\{\{\s*(\w+)\s*\}\}")
Labels = frozenset[str]


class Part(BaseModel):
    """A part of a rule file, which has no other fields than those that Prometheus knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Recording(Part):
    """An expression that is computed once, under a name of its own."""

    record: str = Field(pattern=r"^sightline:[a-z_]+:[a-z0-9]+$")
    expr: str


class Tellings(Part):
    """What whoever is woken is told."""

    summary: str
    runbook: str


class Importance(Part):
    """How soon somebody must look."""

    severity: Literal["page", "ticket"]


class Alert(Part):
    """An expression that has an answer when somebody must look."""

    alert: str = Field(pattern=r"^Sightline[A-Z][A-Za-z]+$")
    expr: str
    lasts: str = Field(default="1s", alias="for")
    labels: Importance
    annotations: Tellings


class Group(Part):
    """Rules that are computed one after the other."""

    name: str
    interval: str = "1m"
    rules: list[Recording | Alert]


class RuleFile(Part):
    """One file of infra/alerts."""

    groups: list[Group]


@cache
def groups() -> tuple[Group, ...]:
    """The groups of every rule file."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(ALERTS.glob("*.yml"))]
    return tuple(group for file in files for group in RuleFile.model_validate(file).groups)


def alerts() -> list[Alert]:
    """Every alert."""
    return [rule for group in groups() for rule in group.rules if isinstance(rule, Alert)]


@cache
def series() -> dict[str, Labels]:
    """What can be asked for, and its labels: what is exposed, and what is recorded of it."""
    known: dict[str, Labels] = {}
    for fact in Metrics().facts():
        labels = SCRAPED.union(fact.labels)
        if fact.kind == "histogram":
            known |= {f"{fact.name}_sum": labels, f"{fact.name}_count": labels}
            known[f"{fact.name}_bucket"] = labels | {"le"}
        else:
            known[fact.name] = labels
    for group in groups():
        for rule in group.rules:
            if isinstance(rule, Recording):
                known[rule.record] = labels_of(promql.parse(rule.expr), known)
    return known


@cache
def said_in_code() -> str:
    """The text of every module of the rooms."""
    paths = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return "\n".join(path.read_text() for path in paths)


def labels_of(expr: Any, known: dict[str, Labels]) -> Labels:
    """The labels of an expression's result.

    Raises:
        AssertionError: it asks for what is not there, or its two sides can never match.
    """
    match expr:
        case promql.NumberLiteral() | promql.StringLiteral():
            labels = frozenset[str]()
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            labels = labels_of(expr.expr, known)
        case promql.MatrixSelector():
            labels = labels_of(expr.vector_selector, known)
        case promql.VectorSelector():
            labels = _of_selector(expr, known)
        case promql.Call():
            labels = _of_call(expr, known)
        case promql.AggregateExpr():
            labels = _of_group(expr, known)
        case promql.BinaryExpr():
            labels = _of_sides(expr, known)
        case _:
            raise AssertionError(f"{expr} is not known here")
    return labels


def _of_selector(expr: promql.VectorSelector, known: dict[str, Labels]) -> Labels:
    assert expr.name in known, f"there is no {expr.name}"
    labels = known[expr.name]
    for matcher in expr.matchers.matchers:
        assert matcher.name in labels, f"{matcher.name} is no label of {expr.name}"
        for value in matcher.value.split("|"):
            if value != "5..":
                assert f'"{value}"' in said_in_code(), f"nothing says {matcher.name}={value}"
    return labels


def _of_call(expr: promql.Call, known: dict[str, Labels]) -> Labels:
    labels = frozenset[str]().union(*(labels_of(argument, known) for argument in expr.args))
    if expr.func.name == "histogram_quantile":
        assert "le" in labels, f"no buckets in {expr.prettify()}"
        return labels - {"le"}
    return frozenset() if expr.func.name == "absent" else labels


def _of_group(expr: promql.AggregateExpr, known: dict[str, Labels]) -> Labels:
    inner = labels_of(expr.expr, known)
    if expr.modifier is None:
        return frozenset()
    assert expr.modifier.type == promql.AggModifierType.By
    by = frozenset(expr.modifier.labels)
    assert by <= inner, f"{sorted(by - inner)} are no labels of {expr.expr.prettify()}"
    return by


def _is_scalar(expr: Any) -> bool:
    while isinstance(expr, promql.ParenExpr):
        expr = expr.expr
    if isinstance(expr, promql.BinaryExpr):
        return _is_scalar(expr.lhs) and _is_scalar(expr.rhs)
    called = isinstance(expr, promql.Call) and expr.func.return_type == promql.ValueType.Scalar
    return called or isinstance(expr, promql.NumberLiteral)


def _of_sides(expr: promql.BinaryExpr, known: dict[str, Labels]) -> Labels:
    left, right = labels_of(expr.lhs, known), labels_of(expr.rhs, known)
    if _is_scalar(expr.lhs) or _is_scalar(expr.rhs):
        return left | right
    matching = None if expr.modifier is None else expr.modifier.matching
    if matching is None:
        assert left == right, f"{sorted(left ^ right)} differ in {expr.prettify()}"
    elif matching.type == promql.LabelModifierType.Include:
        assert left & right >= set(matching.labels)
    else:
        assert left - set(matching.labels) == right - set(matching.labels)
    return left


def check(text: str) -> Labels:
    """The labels of what an expression answers with."""
    return labels_of(promql.parse(text), series())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sum(", "unclosed"),
        ("rate(sightline_outcomes_total)", "expected type matrix"),
        ("sightline_nothing_total", "there is no"),
        ("sightline_freshness_seconds", "there is no"),
        ('sightline_outcomes_total{reason="x"}', "reason is no label"),
        ('sightline_outcomes_total{lane="lively"}', "nothing says lane=lively"),
        ("sum by (topic) (sightline_outcomes_total)", "are no labels"),
        ("sum by (lane) (sightline_lag_messages) / sum(sightline_in_flight)", "differ"),
        ("histogram_quantile(0.9, sum(rate(sightline_apply_seconds_bucket[5m])))", "no buckets"),
    ],
)
def test_what_cannot_work_is_found(text: str, says: str) -> None:
    """The checks below would see a slip of the pen."""
    with pytest.raises((ValueError, AssertionError), match=says):
        check(text)


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.name)
def test_rules_ask_for_what_is_there(group: Group) -> None:
    """Each expression parses, over metrics and labels that exist, with sides that can match."""
    promql.parse_duration(group.interval)
    for rule in group.rules:
        labels = check(rule.expr)
        if isinstance(rule, Alert):
            promql.parse_duration(rule.lasts)
            assert set(TOLD.findall(rule.annotations.summary)) <= labels, rule.alert


def test_names_are_given_once() -> None:
    """Prometheus refuses two groups of a name in a file, and people two alerts."""
    for names in (
        [group.name for group in groups()],
        [alert.alert for alert in alerts()],
        [rule.record for group in groups() for rule in group.rules if isinstance(rule, Recording)],
    ):
        assert len(names) == len(set(names))


def sections() -> Iterator[tuple[str, str]]:
    """Where a link to each section of the runbook leads, and what stands in it."""
    for section in re.split(r"^#+ ", (ROOT / RUNBOOK).read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        yield f"{RUNBOOK}#{title.strip().lower().replace(' ', '-')}", text


def rows(text: str) -> set[str]:
    """The alerts that have a row in a section."""
    return set(re.findall(r"^\| `(Sightline\w+)` \|", text, flags=re.MULTILINE))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.alert)
def test_an_alert_leads_to_what_is_to_be_done(alert: Alert) -> None:
    """It names a section of the runbook, and has its row there."""
    assert alert.alert in rows(dict(sections())[alert.annotations.runbook])


def test_every_row_of_the_runbook_is_of_an_alert() -> None:
    """One that is gone is not looked for."""
    told = set[str]().union(*(rows(text) for _, text in sections()))
    assert told == {alert.alert for alert in alerts()}


def panels() -> Iterator[Any]:
    """Every panel of every dashboard that shows something."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            if panel["type"] != "row":
                yield pytest.param(panel, id=panel["title"])


@pytest.mark.parametrize("panel", [*panels()])
def test_panels_ask_for_what_is_there(panel: dict[str, Any]) -> None:
    """Of the data source that is chosen above; a legend names labels of what is drawn."""
    assert panel["targets"]
    for target in panel["targets"]:
        labels = check(target["expr"])
        assert set(SHOWN.findall(target["legendFormat"])) <= labels, target["legendFormat"]
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_a_dashboard_is_laid_out() -> None:
    """Each panel has a number of its own and covers no other."""
    for path in DASHBOARDS.glob("*.json"):
        board = json.loads(path.read_text())
        (chosen,) = board["templating"]["list"]
        assert (chosen["name"], chosen["type"]) == ("datasource", "datasource")
        covered = [
            (column, line)
            for panel in board["panels"]
            for at in [panel["gridPos"]]
            for column in range(at["x"], at["x"] + at["w"])
            for line in range(at["y"], at["y"] + at["h"])
        ]
        assert len(covered) == len(set(covered))
        assert max(column for column, _ in covered) < 24
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(numbers) == len(set(numbers))
