"""A learning curve in, a TensorBoard event file out (the extra `tensorboard`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline.engine.errors import SettingsInvalid
from sightline.training.loop.training import Curve


def write_events(folder: Path, curve: Curve) -> None:
    """Write loss and share of masked candidates of every step into a folder of event files.

    Raises:
        SettingsInvalid: the package tensorboard is not installed.
    """
    writer = need_tensorboard()(str(folder))
    for step, (loss, masked) in enumerate(zip(curve.losses, curve.masked, strict=True), start=1):
        writer.add_scalar("loss", float(loss), step)
        writer.add_scalar("masked", float(masked), step)
    writer.close()


def need_tensorboard() -> Any:
    """The writer's class; asked for before a long training, not only behind it.

    Raises:
        SettingsInvalid: the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsInvalid(
            "--tensorboard needs the package tensorboard: install sightline-search[tensorboard]"
        ) from error
    return SummaryWriter
