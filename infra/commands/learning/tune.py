"""What `sightline tune` does: clicks in, a folder with the settings that teach best out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline.engine.connecting.serving_model import as_serving
from sightline.engine.private_files import make_private_folders
from sightline.engine.settings import Settings
from sightline.infra.commands.learning.networks import start_of
from sightline.infra.commands.learning.train import TrainWishes, gather
from sightline.infra.commands.opened_store import opened_store
from sightline.training.loop.checkpoint import inputs_digest
from sightline.training.loop.learning import LearningSettings, hold_back
from sightline.training.loop.run_folder import write_csv
from sightline.training.loop.settings_file import write_settings
from sightline.training.tracking import Say, Track, untracked
from sightline.training.tuning.judging import Judging
from sightline.training.tuning.search import TUNED, Tried, need_optuna, search

BEST = "settings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneWishes:
    """What the command line asks for: where to write, and how long to search."""

    folder: Path
    """Where trials and the best settings are written."""
    learning: LearningSettings
    """How the training will be done that they are for."""
    trials: int
    """How many there shall be in the folder."""
    corpus: int = 2_000
    """Public pictures beside those in the pairs, as random negatives."""
    cache: Path | None = None
    """Where features are kept; None: `~/.cache/sightline/features`."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """Every trial of a search, and what it has to be better than."""

    trials: list[Tried]
    start: float
    """The quality of what training begins at, by the same measure."""

    @property
    def best(self) -> Tried:
        """The best trial; of equal ones the first."""
        return max(self.trials, key=lambda tried: tried.quality)


def run_tuning(settings: Settings, wishes: TuneWishes, say: Say, track: Track = untracked) -> Tuned:
    """Read, look, and try; a repeat goes on after the trials that the folder has.

    Raises:
        SettingsInvalid: optuna is missing, the folder holds trials on other data, or there is too
            little to tune by.
        PartUnavailable: the log or the store did not answer; repeat it.
    """
    need_optuna()
    settings = as_serving(settings)
    make_private_folders(wishes.folder)
    asked = TrainWishes(
        folder=wishes.folder, learning=wishes.learning, corpus=wishes.corpus, cache=wishes.cache
    )
    with opened_store(settings) as store:
        found = gather(settings, store, asked, say, track)
    features, base = found.made.features, wishes.learning.head
    start = start_of(found.source, features)
    kept = hold_back(found.labels.pairs, features, start, wishes.learning, found.groups)
    most = settings.evaluation.queries
    judging = Judging.of(kept, features, start, wishes.learning, found.groups, most=most)
    say(f"{len(judging.queries.anchors)} queries judge, {int(judging.kept.trained_on.sum())} teach")
    inputs = inputs_digest(kept.pairs, features, start, base)
    trials = search(
        judging,
        base,
        pairs=int(judging.kept.trained_on.sum()),
        trials=wishes.trials,
        folder=wishes.folder,
        inputs=f"{inputs}-{most}" if judging.queries.drawn else inputs,
        track=track,
    )
    tuned = Tuned(trials, judging.quality(start))
    _write(wishes.folder, tuned)
    return tuned


def _write(folder: Path, tuned: Tuned) -> None:
    rows = (
        (tried.number, tried.quality, *(getattr(tried.settings, name) for name in TUNED))
        for tried in tuned.trials
    )
    write_csv(folder / "trials.csv", ("trial", "quality", *TUNED), rows)
    write_settings(folder / BEST, tuned.best.settings)
