"""`sightline evaluate`: a model measured by labels, clicks or grades, alone or beside another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sightline.engine.private_files import write_private
from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import (
    CAREFUL,
    LABELS,
    ClickedOption,
    PhotosOption,
    StrengthOption,
    TruthOption,
    wishes_of,
)

app = typer.Typer()
CLICKS = "clicks"
RunOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="The training that did not see those clicks or grades; else MODEL, if it is one.",
    ),
]


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
        typer.Option("--gate", help="Let the gate decide, by clicks or by judgements."),
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
    """Measure a model by labels, clicks or grades. With --against, compares two models.

    The folder of a run alone means --truth clicks --against serving --gate.
    """
    from sightline.infra.commands.learning import evaluate as evaluating  # noqa: PLC0415 - heavy
    from sightline.infra.commands.learning.measured_on import measured_on  # noqa: PLC0415 - heavy
    from sightline.infra.reporting import evaluation_table as table  # noqa: PLC0415 - heavy

    if truth is None and photos is None and clicked is None and Path(model).is_dir():
        truth, against, gate = CLICKS, against or evaluating.SERVING, True
    gate |= clicked is not None
    if gate and against is None:
        raise typer.BadParameter("the gate compares: name the other model by --against")
    if truth not in {None, LABELS} and run is None and Path(model).is_dir():
        run = Path(model)
    settings = load_settings()
    wishes = wishes_of(truth, photos=photos, clicked=clicked, run=run)
    one = evaluating.candidate(settings, model, strength=strength)
    other = evaluating.candidate(settings, against, strength=strength) if against else None
    with measured_on(settings, wishes, one) as on:
        judged = evaluating.judge(settings, on, model, other) if gate and other else None
        one = judged.model if judged else one
        found = evaluating.evaluate(on.queries, one, other)
        examples = on.queries.examples(other, one) if report and other else []
    for line in (*table.evaluation_lines(found), *(table.verdict(judged) if judged else ())):
        typer.echo(line)
    if report is not None:
        from sightline.infra.reporting.evaluation_page import evaluation_page  # noqa: PLC0415 - heavy

        curve = Path(model) / "curve.svg"
        drawn = curve.read_bytes() if curve.is_file() else None
        write_private(report, evaluation_page(found, judged, examples, drawn))
    if metrics is not None:
        write_private(metrics, json.dumps(found.metrics, indent=1, sort_keys=True) + "\n")
