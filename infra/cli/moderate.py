"""The command `moderate`: an operator blocks an image, or allows it again."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_producer, open_object_store
from sightline.engine.object_store.catalogue import Decisions
from sightline.engine.settings import load_settings
from sightline.producers.images.moderation import ADMIN, ImageModeration, Verdict
from sightline.schemas.fields import Moderation

app = typer.Typer()

_SOURCE = "/sightline/cli"


@app.command()
def moderate(
    image_id: Annotated[str, typer.Argument(help="The image, known or not.")],
    verdict: Annotated[Moderation, typer.Argument(help="What to decide.")],
    *,
    reason: Annotated[str | None, typer.Option(help="Why; the image's owner is told.")] = None,
    by: Annotated[str, typer.Option(help="Who decides.")] = ADMIN,
) -> None:
    """Block an image, or allow it again. Whatever its owner says now or later."""
    settings = load_settings()
    store = open_object_store(settings)
    producer = open_event_producer(settings)
    try:
        moderation = ImageModeration(
            Decisions(store, settings.store.bucket),
            producer,
            source=_SOURCE,
            clock=SystemClock(),
        )
        decided = moderation.decide(
            image_id, Verdict(moderation=verdict, decided_by=by, reason=reason)
        )
    finally:
        producer.close()
        store.close()
    decision = decided.decision
    typer.echo(f"{decision.image_id} {decision.moderation} (decision {decision.version})")
