"""Settings by area; `tree` reads them once per process from file and environment."""

from sightline.engine.settings.api import ApiKey, ApiSettings, Scope
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
from sightline.engine.settings.section import PositiveInt, PositiveSeconds, Seconds, Section
from sightline.engine.settings.services import IndexSettings, KafkaSettings, StoreSettings
from sightline.engine.settings.tree import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    NONE_WORD,
    Mode,
    Settings,
    load_settings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_CONFIG",
    "NONE_WORD",
    "ApiKey",
    "ApiSettings",
    "BridgeSettings",
    "DecodeSettings",
    "EmbedderSettings",
    "EvaluationSettings",
    "IndexSettings",
    "KafkaSettings",
    "LabelSettings",
    "Mode",
    "PositiveInt",
    "PositiveSeconds",
    "RetrainingSettings",
    "RolloutSettings",
    "Scope",
    "Seconds",
    "Section",
    "Settings",
    "SinkSettings",
    "StoreSettings",
    "WorkerSettings",
    "load_settings",
]
