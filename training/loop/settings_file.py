"""How a head is trained, as JSON: what `sightline tune` writes and `train --settings` reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sightline.engine.errors import SettingsInvalid
from sightline.training.loop.head import write_whole
from sightline.training.loop.settings import HeadSettings

_SETTINGS = TypeAdapter(HeadSettings)


def write_settings(path: Path, settings: HeadSettings) -> None:
    """Write every setting, whole or not at all."""
    write_whole(path, json.dumps(asdict(settings), indent=1).encode() + b"\n")


def read_settings(path: Path) -> HeadSettings:
    """The settings in a file; what it does not name has its default.

    Raises:
        SettingsInvalid: unreadable, an unknown name, or a number that makes no sense.
    """
    try:
        return _SETTINGS.validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsInvalid(f"--settings: cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsInvalid(f"--settings: {path}: {told}") from error
