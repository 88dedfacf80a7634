"""`sightline tune`: which settings teach a head best."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import CorpusOption
from sightline.infra.cli.numbers import number

app = typer.Typer()
_SAME = "The same as you will give `train`."


@app.command()
def tune(
    *,
    folder: Annotated[Path, typer.Argument(help="A new folder, or that of a search to go on.")],
    trials: Annotated[int, number("N", "Trials in FOLDER in the end.", at_least=1)] = 40,
    seed: Annotated[int, number("N", _SAME, at_least=0)] = 0,
    held_out: Annotated[float | None, number("S", _SAME, at_least=0)] = None,
    aside: Annotated[float, number("S", _SAME, at_least=0)] = 0.1,
    later: Annotated[float, number("S", _SAME, at_least=0)] = 0.1,
    corpus: CorpusOption = 2_000,
) -> None:
    """Search the settings under which a head learns best. Writes FOLDER; publishes nothing.

    A trial trains a head on a part of what `train` would learn from, and asks by clicks on the
    rest; what `train` keeps out to judge a release by is not looked at. The first trial is the
    defaults. Killed, or asked for more trials, the same command goes on.

    FOLDER then has settings.json and trials.csv. Needs the extra `tuning` (optuna).

    Next: `sightline train RUN --settings FOLDER/settings.json`.
    """
    from sightline.infra.commands.learning.tune import BEST, TuneWishes, run_tuning  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.progress import bar  # noqa: PLC0415 - heavy
    from sightline.training.loop.learning import LearningSettings  # noqa: PLC0415 - heavy
    from sightline.training.loop.settings import HeadSettings  # noqa: PLC0415 - heavy

    head = HeadSettings(seed=seed)
    learning = LearningSettings(head=head, held_out=held_out, aside=aside, later=later)
    wishes = TuneWishes(folder=folder, learning=learning, trials=trials, corpus=corpus)
    tuned = run_tuning(load_settings(), wishes, typer.echo, bar)
    first, best = tuned.trials[0].quality, tuned.best
    typer.echo(f"nDCG@24 {tuned.start:.4f} before training, {first:.4f} with the defaults,")
    typer.echo(f"{best.quality:.4f} in trial {best.number}: {folder / BEST}")
