"""Settings: one TOML file and the environment in, one frozen tree out, read once per process.

Order, later wins: defaults here, the file named by `SIGHTLINE_CONFIG` (else `sightline.toml` where
the process starts, if it is there), environment variables `SIGHTLINE_<SECTION>__<NAME>`. Nothing
is read at import time. Secrets are `SecretStr`: they are never printed or logged.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings.api import ApiSettings
from sightline.engine.settings.indexing import (
    BridgeSettings,
    DecodeSettings,
    EmbedderSettings,
    WorkerSettings,
)
from sightline.engine.settings.labels import (
    EvaluationSettings,
    LabelSettings,
    RetrainingSettings,
    SinkSettings,
)
from sightline.engine.settings.rollout import RolloutSettings
from sightline.engine.settings.services import IndexSettings, KafkaSettings, StoreSettings
from sightline.engine.settings.variables import PREFIX, unknown_variable

CONFIG_VARIABLE = "SIGHTLINE_CONFIG"
DEFAULT_CONFIG = Path("sightline.toml")
_MAX_BYTES = 1_048_576
NONE_WORD = "null"
"""A variable with this value stands for nothing, where a setting may be nothing."""


class Mode(StrEnum):
    """Whether everything runs in one process, or on outside services (docs/adr/0008)."""

    EMBEDDED = "embedded"
    SERVICES = "services"


class Settings(BaseSettings):
    """All settings of Sightline, in sections; `docs/settings.md` lists them."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str=NONE_WORD,
        use_attribute_docstrings=True,
    )

    mode: Mode = Mode.EMBEDDED
    """`embedded`: one process, nothing but Python. `services`: Kafka, S3 and Qdrant elsewhere."""
    data_directory: Path = Path("var")
    """Where the embedded stack keeps its journal, objects and index."""
    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    index: IndexSettings = IndexSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    decode: DecodeSettings = DecodeSettings()
    worker: WorkerSettings = WorkerSettings()
    bridge: BridgeSettings = BridgeSettings()
    labels: LabelSettings = LabelSettings()
    sink: SinkSettings = SinkSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    rollout: RolloutSettings = RolloutSettings()
    api: ApiSettings = ApiSettings()

    @property
    def index_directory(self) -> Path:
        """The directory of the embedded index, by default `index` in the data directory."""
        return self.index.directory or self.data_directory / "index"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file; no dotenv, no secrets directory."""
        del dotenv_settings, file_secret_settings
        file = TomlConfigSettingsSource(settings_cls, toml_file=_config_file())
        return init_settings, env_settings, file


def _config_file() -> Path | None:
    named = os.environ.get(CONFIG_VARIABLE)
    if named is not None:
        return Path(named)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def load_settings(**overrides: Any) -> Settings:
    """The process's settings, validated.

    Raises:
        SettingsInvalid: the file is missing or unreadable, a value is out of bounds, or a
            variable of ours is no setting; the message names it, never a secret's value.
    """
    if (unknown := unknown_variable(Settings, os.environ)) is not None:
        raise SettingsInvalid(unknown)
    file = _config_file()
    if file is not None and not file.is_file():
        raise SettingsInvalid(f"{CONFIG_VARIABLE} names {file}, which is not a file")
    if file is not None and file.stat().st_size > _MAX_BYTES:
        raise SettingsInvalid(f"{file} is no file of settings: it has over {_MAX_BYTES:,} bytes")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsInvalid(f"setting {name}: {first['msg']} (see docs/settings.md)") from error
    except SettingsError as error:  # a section that is no JSON, given whole as a variable
        raise SettingsInvalid(f"{error} (see docs/settings.md)") from error
    # Not TOML or UTF-8, a number of thousands of digits, nested too deep.
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsInvalid(f"cannot read {file}: {error}") from error
