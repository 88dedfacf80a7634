"""Settings of the services that are connected to: event log, object store, vector index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from sightline.engine.settings.section import PositiveInt, Seconds, Section


class KafkaSettings(Section):
    """The event log: Kafka brokers, how to reach them, and how topics are created."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """Comma-separated `host:port` of any brokers."""
    topic_prefix: str = ""
    """Put before every topic and group name, for a cluster shared with others."""
    create_topics: bool = True
    """Create missing topics at start; switch off where a platform team owns them."""
    replication_factor: PositiveInt = 1
    """How many brokers hold each topic that is created here."""
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
    """How producers compress batches of messages."""
    linger_ms: Annotated[float, Field(ge=0)] = 0.0
    """How long a producer waits for company; 0 favours freshness."""
    delivery_timeout_s: Seconds = 30.0
    """After which an unacknowledged message is reported as an error."""
    request_timeout_s: Seconds = 10.0
    """For one question to the brokers: metadata, creating a topic, the next message of a replay."""
    fetch_wait_s: Annotated[float, Field(gt=0, le=5)] = 0.5
    """How long brokers hold the answer to a consumer while they have nothing for it. Kafka answers
    as soon as something comes; the in-process broker does not: embedded mode has it wait 0.05."""
    max_queued_messages: PositiveInt = 100_000
    """Unacknowledged messages that one process holds; beyond, publishing is refused at once."""
    session_timeout_s: Seconds = 10.0
    """After which a silent group member is given up and its partitions move on."""
    group_protocol: Literal["classic", "consumer"] = "classic"
    """`consumer` is KIP-848; on broker defaults it left a killed member's partitions idle 33 s,
    the classic protocol with a short session 6 s, hence the default."""


class StoreSettings(Section):
    """The object store: an S3 service or a directory, and its bucket."""

    endpoint: str = "127.0.0.1:9000"
    """`host:port` of the S3 API; ignored where `directory` is set."""
    directory: Path | None = None
    """Keep objects in this directory instead of S3 (embedded mode sets it)."""
    bucket: str = "sightline"
    """Our own bucket: images/, thumbnails/, queries/, catalogue/, moderation/, labels/, models/,
    retraining/, serving/, secrets/."""
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
    keep_deleted_days: Annotated[float, Field(ge=0, le=30)] = 7.0
    """How long bytes and renditions stay that a delete or newer bytes left behind; less than a
    tombstone's 30 days. Bytes stored within the hour always stay: an upload may be about to name
    them."""
    sweep_every_s: Seconds = 86_400.0
    """Between two sweeps for them, over all processes; 0: none."""


class IndexSettings(Section):
    """The vector index: a Qdrant server, or the embedded engine."""

    url: str | None = None
    """The address of a Qdrant server, `http://host:6333`; none: the embedded engine in
    `directory`."""
    api_key: SecretStr | None = None
    """The API key of the Qdrant server."""
    ca_file: Path | None = None
    """PEM of the authorities to trust; none: the system's."""
    grpc_port: PositiveInt | None = 6334
    """None: talk REST."""
    directory: Path | None = None
    """The directory of the embedded engine; none: `index` in the data directory."""
    collection_prefix: str = "sightline"
    """Generations are collections `<prefix>-<generation>`, served through the alias `<prefix>`."""
    quantisation: Literal["none", "int8", "binary", "product"] = "int8"
    """How vectors are kept in memory; originals stay on disk for rescoring."""
    features: Literal["none", "4", "8", "16"] = "8"
    """How many bits of each number that the network gave of a picture are kept on disk beside its
    vector, so that a new projection needs no pictures: at 8, 1,284 bytes an image of the default
    model. A generation keeps what it was made with."""
    timeout_s: Seconds = 10.0
    """For one request."""
    shards: PositiveInt = 1
    """How many shards a new collection has (server only)."""
    replicas: PositiveInt = 1
    """How many copies of each shard a new collection has (server only). With 2, one node may be
    down at a time; with 3 reads and writes need two nodes, and a network that parts them shows
    nothing old either (docs/qdrant.md)."""
    reserve_bytes: PositiveInt = 256 * 1024 * 1024
    """Free disk space below which the embedded engine stops instead of crashing."""
    optimise_after: PositiveInt = 10_000
    """Unindexed points after which the embedded engine builds its graph, in a child process."""
