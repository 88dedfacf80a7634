"""Settings: one TOML file and the environment in, one frozen tree out, read once per process.

Order, later wins: defaults here, the file named by `SIGHTLINE_CONFIG` (else `sightline.toml` where
the process starts, if it is there), environment variables `SIGHTLINE_<SECTION>__<NAME>`. Nothing
is read at import time. Secrets are `SecretStr`: they are never printed or logged.
"""

from __future__ import annotations

import os
import tomllib
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from sightline.engine.errors import SettingsInvalid
from sightline.schemas.fields import Visibility

CONFIG_VARIABLE = "SIGHTLINE_CONFIG"
DEFAULT_CONFIG = Path("sightline.toml")
NONE_WORD = "null"
"""As the value of a variable: nothing, where a setting may be nothing."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A frozen slice of the settings, handed to whoever needs just that."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Mode(StrEnum):
    """How the system is run (docs/adr/0008)."""

    EMBEDDED = "embedded"
    SERVICES = "services"


class KafkaSettings(Section):
    """The event log."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """Comma-separated `host:port` of any brokers."""
    topic_prefix: str = ""
    """Put before every topic and group name, for a cluster shared with others."""
    create_topics: bool = True
    """Create missing topics at start; switch off where a platform team owns them."""
    replication_factor: PositiveInt = 1
    """Of topics that are created here."""
    partitions: PositiveInt | None = None
    """Overrides the partition count of every topic that is created here."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """Only with a SASL protocol."""
    sasl_username: str | None = None
    """Only with a SASL protocol."""
    sasl_password: SecretStr | None = None
    """Only with a SASL protocol."""
    ca_file: Path | None = None
    """PEM of the authorities to trust; none: the system's."""
    certificate_file: Path | None = None
    """PEM of the client's certificate, for mutual TLS."""
    key_file: Path | None = None
    """PEM of the client's private key, for mutual TLS."""
    compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = "lz4"
    """Of produced batches."""
    linger_ms: Annotated[float, Field(ge=0)] = 0.0
    """How long a producer waits for company; 0 favours freshness."""
    delivery_timeout_s: Seconds = 30.0
    """After which an unacknowledged message is reported as an error."""
    request_timeout_s: Seconds = 10.0
    """For one question to the brokers: metadata, creating a topic, the next message of a replay."""
    max_queued_messages: PositiveInt = 100_000
    """Unacknowledged messages that one process holds; beyond, publishing is refused at once."""
    session_timeout_s: Seconds = 10.0
    """After which a silent group member is given up and its partitions move on."""
    group_protocol: Literal["classic", "consumer"] = "classic"
    """`consumer` is KIP-848; on broker defaults it left a killed member's partitions idle 33 s,
    the classic protocol with a short session 6 s, hence the default."""


class StoreSettings(Section):
    """The object store."""

    endpoint: str = "127.0.0.1:9000"
    """`host:port` of the S3 API; ignored where `directory` is set."""
    directory: Path | None = None
    """Keep objects in this directory instead of S3 (embedded mode sets it)."""
    bucket: str = "sightline"
    """Our own bucket: images/, queries/, thumbnails/, models/, labels/, catalogue/."""
    region: str = "us-east-1"
    """The bucket's region."""
    tls: bool = False
    """Talk HTTPS."""
    ca_file: Path | None = None
    """PEM of the authorities to trust; none: the system's."""
    access_key: str | None = None
    """None: the machine's role (IAM, or the web-identity token of a pod)."""
    secret_key: SecretStr | None = None
    """Belongs to `access_key`."""
    session_token: SecretStr | None = None
    """Belongs to temporary keys."""
    timeout_s: Seconds = 10.0
    """For one request."""
    pool_size: PositiveInt = 16
    """Connections kept open."""


class IndexSettings(Section):
    """The vector index."""

    url: str | None = None
    """Of a Qdrant server, `http://host:6333`; none: the embedded engine in `directory`."""
    api_key: SecretStr | None = None
    """Of the Qdrant server."""
    ca_file: Path | None = None
    """PEM of the authorities to trust; none: the system's."""
    grpc_port: PositiveInt | None = 6334
    """None: talk REST."""
    directory: Path | None = None
    """Of the embedded engine; none: `index` in the data directory."""
    collection_prefix: str = "sightline"
    """Generations are collections `<prefix>-<generation>`, served through the alias `<prefix>`."""
    quantisation: Literal["none", "int8", "binary", "product"] = "int8"
    """How vectors are kept in memory; originals stay on disk for rescoring."""
    timeout_s: Seconds = 10.0
    """For one request."""
    shards: PositiveInt = 1
    """Of collections that are created here (server only)."""
    replicas: PositiveInt = 1
    """Of collections that are created here (server only)."""
    reserve_bytes: PositiveInt = 256 * 1024 * 1024
    """Free disk space below which the embedded engine stops instead of crashing."""
    optimise_after: PositiveInt = 10_000
    """Unindexed points after which the embedded engine builds its graph, in a child process."""


class EmbedderSettings(Section):
    """What turns pictures into vectors."""

    model: str = "efficientnet_lite0"
    """The default model, any torchvision classification network by name, or a released model."""
    weights: Path | None = None
    """A local safetensors file; none: the package's or torchvision's own weights."""
    projection: Path | None = None
    """A local safetensors file with `mean` and `matrix`; none: the model's own, if it has one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Belongs to the model digest: another precision is another vector space. `auto`: bf16 where
    the machine computes in it, else fp32; a fleet of unlike machines should name one."""
    runtime: Literal["auto", "torch-eager", "torch-compiled", "openvino", "cuda"] = "auto"
    """`auto`: the fastest that this machine can run; named in `/readyz`."""
    threads: PositiveInt | None = None
    """Embedding threads; none: one per core."""


class DecodeSettings(Section):
    """The bounds of what is decoded; what passes them is rejected with a reason."""

    max_bytes: PositiveInt = 32 * 1024 * 1024
    """Of the encoded file."""
    max_pixels: PositiveInt = 100_000_000
    """Width times height, read from the header before anything is decoded."""
    max_frames: PositiveInt = 1_000
    """Of an animation; only the first frame is embedded."""


class WorkerSettings(Section):
    """The index worker."""

    group: str = "sightline-index"
    """Consumer group; the lane's name is appended."""
    max_batch: PositiveInt = 8
    """Most images in one forward pass; waiting to fill it is never worth it below 70 % load."""
    live_in_flight: PositiveInt = 64
    """Live events being worked on, from poll to index; at the bound, partitions pause."""
    backfill_in_flight: PositiveInt = 64
    """The same for the backfill lane."""
    waiting_for_bytes: PositiveInt = 10_000
    """Events per lane that wait, without their bytes, for an object or the store to come back;
    apart from those worked on, so that what hides an image is applied meanwhile."""
    fetched_bytes: PositiveInt = 256 * 1024 * 1024
    """Most bytes held between fetch and decode."""
    fetch_threads: PositiveInt = 8
    """Concurrent reads of the object store."""
    object_grace_s: Seconds = 5.0
    """How long a missing or different object is retried: an event may outrun its object."""
    backoff_initial_s: Seconds = 0.1
    """First wait after a transient error; doubles, with jitter."""
    backoff_max_s: Seconds = 10.0
    """Longest wait after a transient error."""
    dead_letter_limit: PositiveInt = 100
    """Dead letters within `dead_letter_window_s` after which the worker stops."""
    dead_letter_window_s: Seconds = 60.0
    """The window of `dead_letter_limit`."""
    commit_interval_s: Seconds = 1.0
    """At most this long between an applied event and its flush and commit."""
    drain_s: Seconds = 10.0
    """How long a graceful stop or a revoked partition waits for what is being worked on."""
    metrics_port: int | None = 9464
    """Prometheus port of a worker process of its own; none: no endpoint."""


class BridgeSettings(Section):
    """The bucket bridge: notifications of plain S3 uploads become image events."""

    group: str = "sightline-bridge"
    """Consumer group."""
    visibility: Visibility = Visibility.PRIVATE
    """Of new objects without `x-amz-meta-visibility`."""


class LabelSettings(Section):
    """The label join (docs/labels.md); rules are fixed for the life of its topics."""

    join_group: str = "sightline-join"
    """Consumer group of the join."""
    mine_group: str = "sightline-mine"
    """Consumer group of the miner."""
    epoch_s: Annotated[float, Field(gt=0)] = 600.0
    """E: searches are decided together by the epoch in which they were issued."""
    attribution_window_s: Seconds = 1_800.0
    """W: how long after the answer an interaction still counts."""
    lateness_s: Seconds = 300.0
    """L: how much later than its own time it may reach the log."""
    history_epochs: Annotated[int, Field(ge=0)] = 6
    """H: an image that anybody clicked for an anchor so many epochs back is no negative for it."""
    negatives_per_positive: PositiveInt = 3
    """At most, by descending score."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=256)] = 40
    """Within this Hamming distance of anchor or positive an image is no negative."""
    hot_anchor_triples: PositiveInt = 200
    """Most triples per anchor and epoch; the kept ones carry a weight."""
    popular_negative_triples: PositiveInt = 200
    """Most triples per negative, partition and epoch."""
    bot_acts: PositiveInt = 120
    """More clicks, likes, shares and conversions in an epoch are a bot's."""
    bot_coverage_percent: Annotated[int, Field(ge=0, le=100)] = 80
    """Clicking more of what was shown is a bot's …"""
    bot_coverage_shown: PositiveInt = 30
    """… where at least so many images were shown in the epoch."""
    long_dwell_s: Seconds = 10.0
    """A click with at least this dwell is grade 3."""
    examined_s: Seconds = 1.0
    """In view for at least this long is examined."""
    rules_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] = "1"
    """Part of every triple id."""
    tick_s: Annotated[float, Field(gt=0)] = 10.0
    """How often the join's workers tick every partition of a live topic."""
    stalled_s: Annotated[float, Field(gt=0)] = 30.0
    """A partition with lag where nothing was applied for so long ends the process."""
    dead_letter_limit: PositiveInt = 100
    """More dead letters of one partition within `dead_letter_window_s` end the process."""
    dead_letter_window_s: Seconds = 60.0
    """By the records' own timestamps."""
    supervised: bool = True
    """`sightline up` runs join and miner as children of its own; off: start them yourself."""
    join_metrics_port: int | None = 9465
    """Where the join serves its metrics, also as a child of `sightline up`; none: nowhere."""
    mine_metrics_port: int | None = 9466
    """Where the miner serves its metrics, also as a child of `sightline up`; none: nowhere."""
    driver_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """From which level on join and miner pass on what Faust and its Kafka client log."""


class SinkSettings(Section):
    """Labelled triples to Parquet, and online metrics (docs/labels-data.md)."""

    group: str = "sightline-sink"
    """Group under which the sink's progress can be seen; the manifest decides where it starts."""
    metrics_group: str = "sightline-search-metrics"
    """Consumer group of the fold of closed searches into metrics."""
    max_rows: PositiveInt = 50_000
    """A partition's records are written as a file when there are so many …"""
    max_age_s: Seconds = 60.0
    """… or when the first of them has waited for so long."""
    orphan_grace_s: Seconds = 3_600.0
    """Files that no manifest entry lists are removed when they are older than this."""
    retract_every_s: Seconds = 3_600.0
    """How often triples of erased users and hidden images are taken back, by whichever sink finds
    it due; 0: only by `sightline retract`."""
    dead_letter_limit: PositiveInt = 100
    """More unreadable records in one file's worth stop the sink."""
    metrics_port: int | None = 9467
    """Prometheus port of a sink process of its own; none: no endpoint."""


class Scope(StrEnum):
    """What an API key may do (docs/api.md)."""

    SEARCH = "search"
    WRITE = "write"
    ADMIN = "admin"


class ApiKey(Section):
    """One API key; only its hash is in the settings."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the key."""
    scopes: tuple[Scope, ...]
    """What it may do."""
    owner_id: str | None = None
    """Whose images a `write` key sees and changes."""
    name: str = ""
    """For the log."""


class ApiSettings(Section):
    """The search API."""

    host: str = "127.0.0.1"
    """Without API keys only a loopback address is accepted."""
    port: int = 8080
    """0: any free port."""
    keys: tuple[ApiKey, ...] = ()
    """None at all: everything is allowed, from this machine only."""
    command_key: SecretStr | None = None
    """What `sightline upload`, `backfill`, `reconcile` and `dlq replay` send to the process that
    owns an embedded part: a key of scope `admin`, in plain text; needed only where `keys` are."""
    signing_secret: SecretStr | None = None
    """Signs search ids and pseudonymises users; none: made once and kept in the object store."""
    requests_per_minute: PositiveInt = 6_000
    """Per key, or per client address."""
    interactions_per_minute: PositiveInt = 1_200
    """Clicks, views and the like that one actor may report, in bursts of up to 1,000; per
    process."""
    max_concurrent_searches: PositiveInt = 64
    """More wait; past twice as many, 503."""
    max_concurrent_renditions: PositiveInt = 64
    """Pictures and thumbnails that are fetched or made at once; more wait; past twice as many,
    503."""
    max_body_bytes: PositiveInt = 33 * 1024 * 1024
    """Of any request."""
    body_timeout_s: PositiveSeconds = 120.0
    """For a request's whole body to arrive; 408 then."""
    head_timeout_s: PositiveSeconds = 10.0
    """For a request's head, be it a connection's first or next; the connection is closed then."""
    max_connections: PositiveInt = 500
    """Open at once; more are answered 503. Each is a file that the process has open."""
    forwarded_allow_ips: tuple[str, ...] = ()
    """Addresses and networks of the proxies whose `X-Forwarded-For` and `-Proto` are believed, and
    so whom the rate limit counts; none: whoever connects."""
    publish_unpublished_every_s: Seconds = 300.0
    """How often the catalogue is looked through for images whose event a crash kept from the log; 0:
    only by `sightline reconcile`."""
    store_queries: bool = True
    """Keep uploaded query pictures for 30 days, so that they can become anchors."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=256)] = 40
    """Results within this Hamming distance of 256-bit dHashes are near-duplicates."""

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for one in given:
            ip_network(one)  # its message names what is wrong
        return given


class Settings(BaseSettings):
    """Everything; see `docs/settings.md`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SIGHTLINE_",
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
    api: ApiSettings = ApiSettings()

    @property
    def index_directory(self) -> Path:
        """Where the embedded index lives."""
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
        SettingsInvalid: the file is missing or unreadable, or a value is out of bounds; the
            message names the setting, never a secret's value.
    """
    file = _config_file()
    if file is not None and not file.is_file():
        raise SettingsInvalid(f"{CONFIG_VARIABLE} names {file}, which is not a file")
    try:
        return Settings(**overrides)
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"cannot read {file}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsInvalid(f"setting {name}: {first['msg']} (see docs/settings.md)") from error
