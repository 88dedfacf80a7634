"""Commands on models: `models list`, `show`, `diff`, `release`, and `evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.engine.errors import SightlineError
from sightline.engine.settings import Settings, load_settings

if TYPE_CHECKING:
    from sightline.infra.commands.measured_on import TruthWishes
    from sightline.infra.commands.models import ModelCommands, Released
    from sightline.schemas.envelope import Event
    from sightline.schemas.models import ModelReleased
    from sightline.training.models.candidates import Candidate

app = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="List, show, compare and release trained models.")
app.add_typer(models, name="models")

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME for its newest release, or NAME@DIGEST.")
]
StrengthOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="S",
        help="How far a trained head goes: 0 is the whitened start, 1 all that was learnt.",
    ),
]
_PHOTOS = typer.Option(
    exists=True,
    file_okay=False,
    metavar="FOLDER",
    help="Labelled photos: manifest.csv with image, label and split (query, gallery).",
)
PhotosOption = Annotated[Path | None, _PHOTOS]
ClickedOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="Let the gate decide, and choose the strength of a head. FILE: one a line, the "
        "labels that training saw clicks of.",
    ),
]
TruthOption = Annotated[
    str | None,
    typer.Option(
        metavar="labels|clicks|judgements",
        help="What is relevant: photos' labels, clicks that a training did not see, or grades.",
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="The training that did not see those clicks or grades; else MODEL, if it is one.",
    ),
]
LABELS, CLICKS = "labels", "clicks"
CAREFUL = 0.35
"""The strength that lost nothing anywhere when it was measured (docs/adr/0022)."""


@models.command("list")
def list_models() -> None:
    """List the releases of every model. The last one of a name is its newest."""
    with _commands() as commands:
        releases = list(commands.releases())
    for event in releases:
        typer.echo(_release_line(event))
    if not releases:
        typer.echo("no model was released yet (`sightline models release`)")


@models.command()
def show(model: ReferenceArgument) -> None:
    """Show a model: what it is made of, why it was released, its figures and its card."""
    with _commands() as commands:
        shown = commands.show(model)
    config = shown.config
    typer.echo(f"{config.name}@{shown.digest}")
    typer.echo(
        f"{config.network}, weights {config.network_weights}, {config.dimensions} dimensions"
    )
    for file, stored in config.files.items():
        typer.echo(f"{stored.size_bytes:>10} bytes  {stored.sha256}  {file}")
    for event in shown.releases:
        typer.echo(_release_line(event))
        for line in event.data.gate:
            typer.echo(f"  {line.outcome}: {line.rule}: {line.says}")
    if shown.taken_back:
        typer.echo(f"{shown.taken_back} triples that taught it were taken back since")
    for title, facts in (("metrics", shown.metrics), ("lineage", shown.lineage)):
        typer.echo(f"{title}: {json.dumps(facts, indent=1, sort_keys=True)}")
    typer.echo(shown.card)


@models.command()
def diff(one: ReferenceArgument, other: ReferenceArgument) -> None:
    """Compare two models: what they are made of, their figures, their lineage."""
    from sightline.infra.commands.models import differences  # noqa: PLC0415 - heavy

    with _commands() as commands:
        here, there = commands.show(one), commands.show(other)
    for title, before, after in (
        ("config", here.config.model_dump(), there.config.model_dump()),
        ("metrics", here.metrics, there.metrics),
        ("lineage", here.lineage, there.lineage),
    ):
        for path, was, becomes in differences(before, after):
            typer.echo(f"{title} {path}: {_value(was)} -> {_value(becomes)}{_by(was, becomes)}")
    if here.digest == there.digest:
        typer.echo("the same model")


@models.command()
def release(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model is called.")],
    place: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="The folder of a training run, or a safetensors file of a head or a projection.",
        ),
    ],
    *,
    strength: StrengthOption = CAREFUL,
    card: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="A model card in Markdown."),
    ] = None,
    photos: PhotosOption = None,
    clicked: ClickedOption = None,
    truth: TruthOption = None,
) -> None:
    """Release a trained model: if the gate agrees, or unmeasured. Nothing serves it by that.

    With --photos and --clicked, or with another --truth, the gate compares it with the model that
    serves.
    """
    from sightline.infra.commands import evaluate as evaluating  # noqa: PLC0415 - heavy
    from sightline.infra.commands.models import Released  # noqa: PLC0415 - heavy

    if (photos is None) != (clicked is None):
        raise typer.BadParameter("the gate needs both --photos and --clicked")
    settings = load_settings()
    if truth in {None, LABELS} and photos is None:
        model = evaluating.candidate(settings, str(place), strength=strength)
        told = Released.of_run(place, model.name)
    else:
        run = None if truth in {None, LABELS} else place
        wishes = _wishes(truth, photos=photos, clicked=clicked, run=run)
        model, told = _through_the_gate(settings, place, wishes)
    with _commands() as commands:
        event = commands.release(name, model, told, None if card is None else card.read_text())
    typer.echo(_release_line(event))
    typer.echo(f"`sightline reindex {event.data.name}@{event.data.digest} --switch` serves it")


def _through_the_gate(
    settings: Settings, place: Path, wishes: TruthWishes
) -> tuple[Candidate, Released]:
    """The model at the strength that the gate releases, and what was measured of it."""
    from sightline.engine.connecting.released_model import named_digest  # noqa: PLC0415 - heavy
    from sightline.engine.connecting.serving_model import as_serving  # noqa: PLC0415 - heavy
    from sightline.infra.commands import evaluate as evaluating  # noqa: PLC0415 - heavy
    from sightline.infra.commands.measured_on import measured_on  # noqa: PLC0415 - heavy
    from sightline.infra.commands.models import Released  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.evaluation_table import verdict  # noqa: PLC0415 - heavy

    settings = as_serving(settings)
    against = named_digest(settings)
    serving = evaluating.candidate(settings, evaluating.SERVING, strength=1)
    with measured_on(settings, wishes, serving) as on:
        judged = evaluating.judge(settings, on, str(place), serving)
        for line in (f"truth: {on.queries.truth()}", *verdict(judged)):
            typer.echo(line)
        if not judged.released:
            raise SightlineError("not released: the gate says what is missing")
        measured = evaluating.evaluate(on.queries, judged.model, serving)
    told = Released.of_run(place, judged.model.name)
    metrics, gate = {**told.metrics, **measured.metrics}, evaluating.gate_lines(judged.decision)
    return judged.model, replace(told, metrics=metrics, gate=gate, against=against)


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="NAME, NAME@DIGEST, `serving`, the folder of a run, or a safetensors file.",
        ),
    ],
    *,
    truth: TruthOption = None,
    photos: PhotosOption = None,
    run: RunOption = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model to compare with, named likewise.")
    ] = None,
    strength: StrengthOption = CAREFUL,
    clicked: ClickedOption = None,
    gate: Annotated[
        bool,
        typer.Option("--gate", help="Let the gate decide by clicks or judgements, as --clicked."),
    ] = False,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every measure to FILE, as JSON.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write FILE, an HTML page with the pictures that moved most."
        ),
    ] = None,
) -> None:
    """Measure a model by labels, clicks or grades. Compared with another, by its side.

    The folder of a run alone means --truth clicks --against serving --gate.
    """
    from sightline.infra.commands import evaluate as evaluating  # noqa: PLC0415 - heavy
    from sightline.infra.commands.measured_on import measured_on  # noqa: PLC0415 - heavy
    from sightline.infra.reporting import evaluation_table as table  # noqa: PLC0415 - heavy

    if truth is None and photos is None and clicked is None and Path(model).is_dir():
        truth, against, gate = CLICKS, against or evaluating.SERVING, True
    gate |= clicked is not None
    if gate and against is None:
        raise typer.BadParameter("the gate compares: name the other model by --against")
    if truth not in {None, LABELS} and run is None and Path(model).is_dir():
        run = Path(model)
    settings = load_settings()
    wishes = _wishes(truth, photos=photos, clicked=clicked, run=run)
    one = evaluating.candidate(settings, model, strength=strength)
    other = evaluating.candidate(settings, against, strength=strength) if against else None
    with measured_on(settings, wishes, one) as on:
        judged = evaluating.judge(settings, on, model, other) if gate and other else None
        one = judged.model if judged else one
        found = evaluating.evaluate(on.queries, one, other)
        examples = on.queries.examples(other, one) if report and other else []
    for line in (*table.lines(found), *(table.verdict(judged) if judged else ())):
        typer.echo(line)
    if report is not None:
        from sightline.infra.reporting.evaluation_page import page  # noqa: PLC0415 - heavy

        curve = Path(model) / "curve.svg"
        drawn = curve.read_bytes() if curve.is_file() else None
        report.write_text(page(found, judged, examples, drawn))
    if metrics is not None:
        metrics.write_text(json.dumps(found.metrics, indent=1, sort_keys=True) + "\n")


def _wishes(
    truth: str | None, *, photos: Path | None, clicked: Path | None, run: Path | None
) -> TruthWishes:
    from sightline.infra.commands.measured_on import GroundTruth, TruthWishes  # noqa: PLC0415 - heavy

    chosen = truth or LABELS
    if chosen not in {each.value for each in GroundTruth}:
        raise typer.BadParameter("the truth is labels, clicks or judgements")
    return TruthWishes(truth=GroundTruth(chosen), photos=photos, clicked=clicked, run=run)


def _release_line(event: Event[ModelReleased]) -> str:
    data = event.data
    why = f"{len(data.gate)} rules" if data.gate else "by hand"
    when = f"{data.released_at:%Y-%m-%d %H:%M}"
    return f"{data.name}@{data.digest}  release {data.number}  {when}  {why}"


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)


def _by(was: Any, becomes: Any) -> str:
    """The difference of two numbers, which are no flags."""
    numbers = [v for v in (was, becomes) if isinstance(v, int | float) and not isinstance(v, bool)]
    return f" ({becomes - was:+.4g})" if len(numbers) == 2 else ""  # noqa: PLR2004 - both


@contextmanager
def _commands() -> Iterator[ModelCommands]:
    from sightline.infra.commands.models import ModelCommands  # noqa: PLC0415 - heavy

    with ModelCommands.open(load_settings()) as commands:
        yield commands
