"""Options that commands on models share, and what they ask for together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.infra.cli.numbers import number

if TYPE_CHECKING:
    from sightline.infra.commands.learning.measured_on import TruthWishes

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME for its newest release, or NAME@DIGEST.")
]
RateOption = Annotated[
    float | None,
    number("N", "Images a second at most, to spare searches.", at_least=0.1),
]
StrengthOption = Annotated[
    float,
    number(
        "S",
        "How far a trained head goes: 0 is the whitened start, 1 all that was learnt.",
        at_least=0,
        at_most=1,
    ),
]
PhotosOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="Labelled photos: manifest.csv with image, label and split (query, gallery).",
    ),
]
ClickedOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="Let the gate decide, and choose the strength of a head. FILE has a line for each "
        "label that training saw clicks of; how many may follow after a tab.",
    ),
]
TruthOption = Annotated[
    str | None,
    typer.Option(
        metavar="labels|clicks|judgements",
        help="What is relevant: photos' labels, clicks that a training did not see, or grades.",
    ),
]
NewFolderArgument = Annotated[
    Path, typer.Argument(help="A new folder, or that of a training to go on.")
]
TensorboardOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write the learning curve for TensorBoard, too."),
]
CorpusOption = Annotated[int, number("N", "Further pictures, as random negatives.", at_least=0)]
TemperatureOption = Annotated[
    float, number("T", "Divides similarities; a lower T looks at nearer ones.")
]
LABELS = "labels"
CAREFUL = 0.35
"""The strength that lost nothing anywhere when it was measured (docs/adr/0022)."""


def wishes_of(
    truth: str | None, *, photos: Path | None, clicked: Path | None, run: Path | None
) -> TruthWishes:
    """What a model is to be measured by, in the words of the options; labels unless it is said."""
    from sightline.infra.commands.learning.measured_on import GroundTruth, TruthWishes  # noqa: PLC0415 - heavy

    chosen = truth or LABELS
    if chosen not in {each.value for each in GroundTruth}:
        raise typer.BadParameter("the truth is labels, clicks or judgements")
    return TruthWishes(truth=GroundTruth(chosen), photos=photos, clicked=clicked, run=run)
