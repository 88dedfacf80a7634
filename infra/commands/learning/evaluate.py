"""What `sightline evaluate` does: models and labelled photos in, figures and a decision out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sightline.engine.connecting.released_model import embedder_settings, naming
from sightline.engine.connecting.serving_model import as_serving
from sightline.engine.embedding.model_registry import ModelReference
from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import Settings
from sightline.infra.commands.learning.measured_on import Measured
from sightline.infra.commands.learning.query_set import QuerySet
from sightline.infra.commands.models import network_of
from sightline.schemas.models import MAX_LINES, GateLine, reason_of
from sightline.training.evaluation.gate import (
    GateDecision,
    GateLimits,
    GateVerdict,
    RuleOutcome,
    decide,
)
from sightline.training.evaluation.strength import (
    CAREFUL,
    GradedQueries,
    can_choose,
    choose,
    evidence,
)
from sightline.training.evaluation.versus import Row, Versus
from sightline.training.loop.run_folder import RECORD, read_record
from sightline.training.models.candidates import Candidate, is_head, of_file, of_settings

SERVING = "serving"
"""What stands for the model that answers searches now."""
LIMITS = GateLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured, and by what truth."""

    model: str
    against: str | None
    truth: str
    """Where the relevance comes from, and how much there is of it."""
    drawn_by: str = "label"
    """What is drawn together for the bounds: `label` or `kind`."""
    rows: tuple[Row, ...]
    """The measures over all queries, then mean average precision by slice."""
    untold: str = ""
    """Which tags are no slices, since they are on too few kinds."""
    metrics: Mapping[str, float]
    """Every measure of the model, for `metrics.json`."""
    metrics_against: Mapping[str, float] | None = None
    """The same of what it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedModel:
    """A model, and what the gate decided about it."""

    model: Candidate
    strength: float | None
    """The strength that was decided on; None: a projection, which has none."""
    decision: GateDecision
    metrics: Mapping[str, float]
    """Values of all measures over all queries, by their names."""

    @property
    def released(self) -> bool:
        """Whether every rule of the gate let it pass."""
        return self.decision.verdict is GateVerdict.RELEASED


def candidate(settings: Settings, text: str, *, strength: float) -> Candidate:
    """The model that a person names: `serving`, a file or folder, or one of the registry.

    Raises:
        SettingsInvalid: there is no such model; a path that is none is taken for a name.
    """
    if text == SERVING:
        serving = as_serving(settings)
        return of_settings(f"{SERVING} ({serving.embedder.model})", embedder_settings(serving))
    if Path(text).exists():
        found = of_file(Path(text), network_of(settings), strength=strength)
        must_fit(Path(text), found)
        return found
    reference = ModelReference.parse(text)
    return of_settings(str(reference), embedder_settings(naming(settings, reference)))


def must_fit(place: Path, model: Candidate) -> None:
    """Refuse a run whose head was trained on features of another network than the model's.

    A file does not say what it was trained on, so it is let pass.

    Args:
        place: the folder of a run, or a file.
        model: made of it, over the network of the model that serves now.

    Raises:
        SettingsInvalid: the run was of another network.
    """
    if not (place / RECORD).is_file():
        return
    trained_on = read_record(place).get("start", {}).get("weights")
    if trained_on not in (None, model.source.weights_id) and is_head(place):
        raise SettingsInvalid(f"{place} was trained on another network: train anew")


def evaluate(queries: QuerySet, model: Candidate, against: Candidate | None) -> Evaluation:
    """Measure a model, and its gain over another with bounds drawn by label or kind.

    Raises:
        BadImage: a photo cannot be read.
    """
    versus = Versus(
        after=queries.scores(model),
        before=None if against is None else queries.scores(against),
        clusters=queries.clusters,
    )
    tags = queries.tags()
    return Evaluation(
        model=model.name,
        against=None if against is None else against.name,
        truth=queries.truth(),
        drawn_by=queries.drawn_by,
        rows=(*versus.measures(), *versus.slices({**queries.domains(), **tags.masks})),
        untold=tags.untold(),
        metrics=versus.after.means(),
        metrics_against=None if versus.before is None else versus.before.means(),
    )


def judge(
    settings: Settings,
    on: Measured,
    text: str,
    against: Candidate,
    *,
    limits: GateLimits = LIMITS,
) -> JudgedModel:
    """What the gate says of a model; of a trained head, at the strength that is chosen for it.

    Args:
        settings: what the model's network comes from.
        on: what is measured on, and what was clicked in training.
        text: the model, as `candidate` takes it.
        against: the model that it would replace.
        limits: of the gate.

    Raises:
        SettingsInvalid: there is no such model or file.
        BadImage: a photo cannot be read.
    """
    if on.groups is None:
        raise SettingsInvalid("the gate must know what training saw clicks of: --clicked or --run")
    queries, groups = on.queries, on.groups
    head = Path(text).exists() and is_head(Path(text))
    strengths = on.strengths if head and can_choose(groups, limits) else (CAREFUL,)
    models = {each: candidate(settings, text, strength=each) for each in strengths}
    before = queries.scores(against)
    after = {each: queries.scores(model) for each, model in models.items()}
    graded = None if on.judged is None else _graded(on.judged, models, against)
    chosen = choose(before, after, groups, limits, graded=graded)
    model, scores = models[chosen.strength], after[chosen.strength]
    found = evidence(
        before,
        scores,
        groups,
        queries.as_served(model),
        among=chosen.deciding,
        judged=None if graded is None else graded.deciding(groups, chosen),
    )
    return JudgedModel(
        model=model,
        strength=chosen.strength if head else None,
        decision=decide(found, limits),
        metrics=scores.means(),
    )


def _graded(on: QuerySet, models: Mapping[float, Candidate], against: Candidate) -> GradedQueries:
    return GradedQueries(
        before=on.scores(against),
        after={each: on.scores(model) for each, model in models.items()},
        clusters=on.clusters,
    )


def gate_lines(decision: GateDecision) -> tuple[GateLine, ...]:
    """The decision as the event of a release tells it: all that decided, and what has room."""
    room = MAX_LINES - sum(line.outcome is not RuleOutcome.REPORTED for line in decision.lines)
    lines = []
    for line in decision.lines:
        if line.outcome is RuleOutcome.REPORTED:
            room -= 1
            if room < 0:
                continue
        lines.append(
            GateLine(rule=line.rule, outcome=line.outcome.value, says=reason_of(line.says))
        )
    return tuple(lines)
