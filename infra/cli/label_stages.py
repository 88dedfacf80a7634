"""Commands that run one label stage each: `join` and `mine`."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline.engine.settings import load_settings
from sightline.schemas.labels import Stage

app = typer.Typer()

ImportedOption = Annotated[
    bool, typer.Option("--imported", help="Read what `sightline interactions import` wrote.")
]


@app.command()
def join(*, imported: ImportedOption = False) -> None:
    """Join clicks to the searches that showed the images. Services mode only."""
    _run(Stage.JOIN, imported=imported)


@app.command()
def mine(*, imported: ImportedOption = False) -> None:
    """Mine training triples from closed searches. Services mode only."""
    _run(Stage.MINE, imported=imported)


def _run(stage: Stage, *, imported: bool) -> None:
    from sightline.infra.supervision.label_stage import run_stage  # noqa: PLC0415 - heavy

    run_stage(load_settings(), stage, imported=imported)
