"""Commands on the registry of models: `models list`, `show`, `diff` and `release`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import ReferenceArgument
from sightline.infra.cli.release import release
from sightline.infra.reporting.release_line import release_line

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sightline.infra.commands.models import ModelCommands

app = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="List, show, compare and release trained models.")
app.add_typer(models, name="models")


@models.command("list")
def list_models() -> None:
    """List the releases of every model. The last one of a name is its newest."""
    with _commands() as commands:
        releases = list(commands.releases())
    for event in releases:
        typer.echo(release_line(event))
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
        typer.echo(release_line(event))
        for line in event.data.gate:
            typer.echo(f"  {line.outcome}: {line.rule}: {line.says}")
    if shown.taken_back:
        typer.echo(shown.taken_back)
    for title, facts in (("metrics", shown.metrics), ("lineage", shown.lineage)):
        typer.echo(f"{title}: {json.dumps(facts, indent=1, sort_keys=True)}")
    typer.echo(shown.card)


@models.command()
def diff(one: ReferenceArgument, other: ReferenceArgument) -> None:
    """Compare two models: what they are made of, their figures, their lineage."""
    from sightline.infra.commands.models import document_differences  # noqa: PLC0415 - heavy

    with _commands() as commands:
        here, there = commands.show(one), commands.show(other)
    for title, before, after in (
        ("config", here.config.model_dump(), there.config.model_dump()),
        ("metrics", here.metrics, there.metrics),
        ("lineage", here.lineage, there.lineage),
    ):
        for path, was, becomes in document_differences(before, after):
            typer.echo(f"{title} {path}: {_value(was)} -> {_value(becomes)}{_by(was, becomes)}")
    if here.digest == there.digest:
        typer.echo("the same model")


models.command()(release)


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)


def _by(was: Any, becomes: Any) -> str:
    """The difference of two numbers, which are no flags."""
    numbers = [v for v in (was, becomes) if isinstance(v, int | float) and not isinstance(v, bool)]
    return f" ({becomes - was:+.4g})" if len(numbers) == 2 else ""  # noqa: PLR2004 - both


def _commands() -> AbstractContextManager[ModelCommands]:
    from sightline.infra.commands.models import ModelCommands  # noqa: PLC0415 - heavy
    from sightline.infra.commands.opened_store import over_store  # noqa: PLC0415 - heavy

    return over_store(ModelCommands, load_settings())
