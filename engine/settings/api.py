"""Settings of the search API: its keys and scopes, its limits, its rules for pages."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from sightline.engine.settings.section import PositiveInt, PositiveSeconds, Seconds, Section


class Scope(StrEnum):
    """What an API key may do (docs/api.md)."""

    SEARCH = "search"
    WRITE = "write"
    USERS = "users"
    """Say which user asks: what is done with the answer counts as theirs."""
    JUDGE = "judge"
    """Grade images for one another; the key's name stands in the judge's pseudonym."""
    METRICS = "metrics"
    """Read `/metrics`."""
    ADMIN = "admin"


KeyHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ApiKey(Section):
    """One API key; only its hash is in the settings."""

    sha256: KeyHash
    """SHA-256 of the key."""
    also_sha256: tuple[KeyHash, ...] = ()
    """SHA-256 of further keys of this name, all valid: to change a key, add the new one's, hand it
    out, and take the old one's out once the metrics tell that nobody uses it."""
    scopes: tuple[Scope, ...]
    """What it may do."""
    owner_id: str | None = None
    """Whose images a `write` key sees and changes."""
    name: Annotated[str, Field(max_length=64, pattern=r"^[ -~]*$")] = ""
    """In logs, metrics, the audit log and the pseudonyms of those who judge with it; none: the
    first 8 digits of its hash."""


class ApiSettings(Section):
    """The search API: its address, keys, limits, and how results are picked."""

    host: str = "127.0.0.1"
    """Without API keys only a loopback address is accepted."""
    port: int = 8080
    """0: any free port."""
    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    """Where other processes reach the API, such as `https://search.internal`; none: only those that
    share its data directory find it. `sightline status` asks it what it serves."""
    keys: tuple[ApiKey, ...] = ()
    """None at all: everything is allowed, from this machine only."""
    command_key: SecretStr | None = None
    """What `sightline upload`, `backfill`, `reconcile` and `dlq replay` send to the process that
    owns an embedded part: a key of scope `admin`, in plain text; needed only where `keys` are."""
    signing_secret: SecretStr | None = None
    """Seals search ids and pseudonymises users; none: made once and kept in the object store."""
    requests_per_minute: PositiveInt = 6_000
    """Per key; without a known one per IPv4 address or IPv6 /64 network."""
    interactions_per_minute: PositiveInt = 1_200
    """Clicks, views and the like that one actor may report, in bursts of up to 1,000; per
    process."""
    max_concurrent_searches: PositiveInt = 64
    """More wait; past twice as many, 503."""
    max_concurrent_renditions: PositiveInt = 64
    """Pictures and thumbnails that are fetched or made at once; more wait; past twice as many,
    503."""
    max_body_bytes: PositiveInt = 33 * 1024 * 1024
    """Most bytes in the body of any request; more are answered 413."""
    body_timeout_s: PositiveSeconds = 120.0
    """For a request's whole body to arrive, 408 then; and for an answer to be taken by who asked
    for it: the connection is closed then."""
    head_timeout_s: PositiveSeconds = 10.0
    """For a request's head, be it a connection's first or next; the connection is closed then."""
    max_connections: PositiveInt = 500
    """Open at once; more are answered 503. Each is a file that the process has open."""
    max_connections_per_address: PositiveInt = 100
    """The same for one IPv4 address or IPv6 /64 network; more are answered 503. Proxies in
    `forwarded_allow_ips` may hold them all."""
    forwarded_allow_ips: tuple[str, ...] = ()
    """Addresses and networks of the proxies whose `X-Forwarded-For` and `-Proto` are believed, and
    so whom the rate limit counts; none: whoever connects."""
    publish_unpublished_every_s: Seconds = 300.0
    """How often the catalogue is looked through for images whose event a crash kept from the log;
    0: only by `sightline reconcile`."""
    recall_checks_per_minute: Annotated[float, Field(ge=0, le=60)] = 1.0
    """So many searches a minute are asked once more behind their answer, by an exact scan, to
    measure the index's recall; less where the scans would take long; 0: none."""
    store_queries: bool = True
    """Keep uploaded query pictures for 30 days, so that they can become anchors."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=256)] = 40
    """Results within this Hamming distance of 256-bit dHashes are near-duplicates."""
    explore_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    """Share of the searches whose page chance varies, so that position bias can be measured: some
    neighbours are swapped. 0: equal questions get equal answers."""
    explore_new_s: Annotated[float, Field(ge=0, le=31_536_000)] = 604_800.0
    """An image that has been listed for no longer may take one place of such a page, though others
    are nearer; 0: none may."""

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for one in given:
            ip_network(one)  # its message names what is wrong
        return given
