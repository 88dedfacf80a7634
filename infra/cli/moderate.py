"""The command `moderate`: an operator blocks an image, or allows it again."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from sightline.engine.errors import SettingsInvalid
from sightline.engine.object_store.catalogue import Decisions
from sightline.infra.cli.publishing import SOURCE
from sightline.producers.connect import connect
from sightline.producers.images.moderation import ADMIN, ImageModeration, OperatorVerdict
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Moderation

app = typer.Typer()


@app.command()
def moderate(
    image_id: Annotated[str, typer.Argument(help="The image's id, known or not.")],
    verdict: Annotated[Moderation, typer.Argument(help="What to decide.")],
    *,
    reason: Annotated[str | None, typer.Option(help="Why; the image's owner is told.")] = None,
    by: Annotated[str, typer.Option(help="Who decides.")] = ADMIN,
) -> None:
    """Block an image, or allow it again. Nothing that its owner sends undoes a block."""
    with connect(source=SOURCE) as publisher:
        moderation = ImageModeration(
            Decisions(publisher.store, publisher.bucket),
            publisher.producer,
            source=publisher.source,
            clock=publisher.clock,
        )
        try:
            decided = moderation.decide(
                image_id, OperatorVerdict(moderation=verdict, decided_by=by, reason=reason)
            )
        except ValidationError as error:
            raise SettingsInvalid(str(ContractError.of(error))) from error
    decision = decided.decision
    typer.echo(f"{decision.image_id} {decision.moderation} (decision {decision.version})")
