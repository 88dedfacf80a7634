"""A judge of settings in, the best settings that so many trials found out (the extra `tuning`).

Optuna's tree-structured Parzen estimator: J. Bergstra et al., "Algorithms for Hyper-Parameter
Optimization" (2011). Every trial is kept in a file as soon as it is known, so that a killed search
goes on after the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sightline.engine.errors import SettingsInvalid
from sightline.training.loop.settings import Activation, HeadSettings
from sightline.training.tracking import Track, untracked

if TYPE_CHECKING:
    from optuna import Study, Trial

TRIALS = "trials.log"
_STUDY, _INPUTS = "head", "inputs"
_GUESSED_FIRST = 8
"""Trials that are drawn at random before the others are drawn by what those showed."""
TUNED = ("temperature", "mined", "skip_hardest", "balance", "steps", "depth", "activation")


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings that were tried, and how good the head was."""

    number: int
    settings: HeadSettings
    quality: float


def search(
    judge: Callable[[HeadSettings], float],
    base: HeadSettings,
    *,
    pairs: int,
    trials: int,
    folder: Path,
    inputs: str,
    track: Track = untracked,
) -> list[Tried]:
    """Try settings, the given ones first, until there are so many trials in the folder.

    Args:
        judge: how good a head is that was trained with some settings.
        base: where the search begins, and every setting that it leaves alone.
        pairs: how many teach: they say how many steps the given settings mean.
        trials: how many there shall be, those of earlier calls included.
        folder: keeps the trials.
        inputs: names what is learnt from; trials on something else are not gone on with.
        track: shows how far it is.

    Returns:
        Every trial, in the order in which they were made.

    Raises:
        SettingsInvalid: optuna is not installed, or the folder holds trials on other data.
    """
    study = _study(folder, base, pairs, inputs)
    left = range(len(_done(study, base)), trials)
    for number in track(left, "trials", len(left)):
        study.sampler = _sampler(base.seed + number)
        study.optimize(lambda trial: judge(_settings(trial, base)), n_trials=1)
    return _done(study, base)


def need_optuna() -> Any:
    """The library; asked for before pictures are looked at, not only behind it.

    Raises:
        SettingsInvalid: it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsInvalid(
            "tune needs the package optuna: install sightline-search[tuning]"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(folder: Path, base: HeadSettings, pairs: int, inputs: str) -> Study:
    optuna = need_optuna()
    backend = optuna.storages.journal.JournalFileBackend(str(folder / TRIALS))
    study: Study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name=_STUDY,
        direction="maximize",
        load_if_exists=True,
    )
    if study.user_attrs.get(_INPUTS, inputs) != inputs:
        raise SettingsInvalid(f"{folder} holds trials on other data: name another folder")
    if _INPUTS not in study.user_attrs:
        study.set_user_attr(_INPUTS, inputs)
        given = replace(base, steps=base.steps_for(pairs))
        study.enqueue_trial({name: getattr(given, name) for name in TUNED})
    return study


def _sampler(seed: int) -> Any:
    """By the trial's number, so that a search that was killed draws what it would have drawn."""
    return need_optuna().samplers.TPESampler(seed=seed, n_startup_trials=_GUESSED_FIRST)


def _settings(trial: Trial, base: HeadSettings) -> HeadSettings:
    return replace(
        base,
        temperature=trial.suggest_float("temperature", 0.02, 0.5, log=True),
        mined=trial.suggest_int("mined", 0, 8),
        skip_hardest=trial.suggest_int("skip_hardest", 0, 10),
        balance=trial.suggest_float("balance", 0.0, 1.0),
        steps=trial.suggest_int("steps", 1, 400),
        depth=trial.suggest_int("depth", 0, 2),
        activation=trial.suggest_categorical("activation", get_args(Activation)),
    )


def _done(study: Study, base: HeadSettings) -> list[Tried]:
    """Trials that ended; one that was killed is not among them."""
    return [
        Tried(number, replace(base, **trial.params), trial.value)
        for number, trial in enumerate(study.get_trials(deepcopy=False))
        if trial.value is not None
    ]
