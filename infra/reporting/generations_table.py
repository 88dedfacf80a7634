"""The state of what serves in, the lines of `sightline generations list` out."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import KnownGeneration


def generation_lines(state: ServingState) -> Iterator[str]:
    """One line for each generation, then what else answers, and where a rollback leads."""
    for known in state.generations:
        yield _line(state, known)
    yield from (f"{name}  dropped, not removed yet" for name in state.dropping)
    if state.serves.query_model is not None:
        yield (
            f"{state.serves.query_model} answers, by a matrix on the query: "
            f"the vectors are those of {_model(state.serving)}"
        )
    if (tried := state.experiment) is not None:
        yield f"experiment {tried.name}: {tried.share:.0%} of the actors get {tried.treatment}"
    way_back = state.before[0] if state.before else "nothing: there is no way back"
    yield f"number {state.number} since {state.changed_at:%Y-%m-%d %H:%M}: {state.reason}"
    yield f"a rollback leads to {way_back}"


def _line(state: ServingState, known: KnownGeneration) -> str:
    stage = "serves" if known.name == state.serves.generation else str(known.stage)
    when = f"made {known.made_at:%Y-%m-%d %H:%M}"
    left = "" if known.retired_at is None else f", left {known.retired_at:%Y-%m-%d %H:%M}"
    behind = ", behind: not fed for a while" if known.name in state.behind else ""
    return f"{known.name}  {stage}  {_model(known)}  groups {known.group}-*  {when}{left}{behind}"


def _model(known: KnownGeneration) -> str:
    return known.model or f"the settings' model {known.model_digest[:16]}"
