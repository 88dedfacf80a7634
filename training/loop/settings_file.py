"""How a head is trained, as JSON: what `sightline tune` writes and `train --settings` reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sightline.engine.errors import SettingsInvalid
from sightline.engine.regular_files import read_text
from sightline.schemas import strict_json
from sightline.training.loop.head import write_whole
from sightline.training.loop.settings import HeadSettings

_SETTINGS = TypeAdapter(HeadSettings)
_MAX_BYTES = 65_536


def write_settings(path: Path, settings: HeadSettings) -> None:
    """Write every setting, whole or not at all."""
    write_whole(path, json.dumps(asdict(settings), indent=1).encode() + b"\n")


def read_settings(path: Path) -> HeadSettings:
    """The settings in a file; what it does not name has its default.

    Raises:
        SettingsInvalid: unreadable, an unknown name or one that is there twice, or a number that
            makes no sense.
    """
    try:
        text = read_text(path, _MAX_BYTES)
        strict_json.loads(text)
        return _SETTINGS.validate_json(text)
    except OSError as error:
        raise SettingsInvalid(f"--settings: cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsInvalid(f"--settings: {path}: {told}") from error
    except ValueError as error:
        raise SettingsInvalid(f"--settings: {path} cannot be read as JSON: {error}") from error
