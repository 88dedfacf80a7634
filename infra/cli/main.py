"""`sightline`: every command in one place; errors end in one line and an exit code.

Exit codes: 0 done, 1 something failed, 2 refused to start (settings, index, broker: what to do is
in the line), 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from sightline.engine.errors import Part, PartUnavailable, RefusedToStart, SightlineError
from sightline.infra.cli import (
    backfill,
    evaluate,
    experiment,
    interactions,
    judgements,
    label_stages,
    labels,
    models,
    moderate,
    operate,
    reindex,
    rollout,
    run,
    trace,
    train,
    train_backbone,
    tune,
    upload,
)
from sightline.producers.backfill.names import printable

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
PACKAGE = "sightline-search"

app = typer.Typer(
    name="sightline",
    help="Event-driven visual search: always fresh, private by default.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # its tables give flags a value, `<bool>`
)
for commands in (
    run.app,
    label_stages.app,
    labels.app,
    train.app,
    train_backbone.app,
    tune.app,
    models.app,
    evaluate.app,
    rollout.app,
    experiment.app,
    upload.app,
    backfill.app,
    reindex.app,
    moderate.app,
    operate.app,
    trace.app,
    interactions.app,
    judgements.app,
):
    app.registered_commands += commands.registered_commands
    app.registered_groups += commands.registered_groups


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - typer's form of a callback
    if wanted:
        typer.echo(f"sightline {version(PACKAGE)}")
        raise typer.Exit


@app.callback()
def sightline(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Event-driven visual search: always fresh, private by default."""


def main() -> None:
    """Run the command named on the command line and exit."""
    # For whoever typed the command; what runs on as a service logs JSON instead.
    logging.basicConfig(level=logging.WARNING, format="sightline: %(message)s")
    try:
        app()
    except RefusedToStart as error:
        _say(error)
        sys.exit(REFUSED)
    except SightlineError as error:
        _say(error)
        sys.exit(FAILED)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"sightline: {printable(str(error.filename))}: {error.strerror}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _say(error: SightlineError) -> None:
    away = isinstance(error, PartUnavailable) and error.part is not Part.EMBEDDER
    remedy = " (`sightline doctor` tells what is wrong)" if away else ""
    typer.echo(f"sightline: {error}{remedy}", err=True)
