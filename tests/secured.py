"""A broker and an object store behind TLS, with users: what a managed service looks like."""

from __future__ import annotations

import http
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import httpx
import trustme
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from sightline.engine.settings import KafkaSettings, StoreSettings
from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_binary import minio_binary
from sightline.infra.local.server_process import ServerProcess

USER = "sightline"
_LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Certificates of one authority, as files."""

    ca_file: Path
    server_file: Path
    """Key and certificate of 127.0.0.1."""
    client_certificate: Path
    client_key: Path

    @classmethod
    def made_in(cls, directory: Path) -> Authority:
        """A new authority; its files lie in the directory."""
        authority = trustme.CA()
        made = cls(
            ca_file=directory / "ca.pem",
            server_file=directory / "server.pem",
            client_certificate=directory / "client.pem",
            client_key=directory / "client.key",
        )
        authority.cert_pem.write_to_path(made.ca_file)
        server = authority.issue_cert(LOOPBACK)
        chain = b"".join(pem.bytes() for pem in server.cert_chain_pems)
        made.server_file.write_bytes(_pkcs8(server.private_key_pem.bytes()) + chain)
        client = authority.issue_cert(f"{USER}@example.org")
        client.private_key_pem.write_to_path(made.client_key)
        client.cert_chain_pems[0].write_to_path(made.client_certificate)
        return made


@dataclass(frozen=True, kw_only=True)
class SecuredKafka:
    """Two listeners behind TLS: one asks for a name and a password, one for a certificate."""

    authority: Authority
    password: str
    with_password: str
    with_certificate: str

    def settings(self, mechanism: str | None) -> KafkaSettings:
        """Of a client: SASL by that mechanism, or none: mutual TLS; a corner of its own."""
        told: dict[str, object] = {
            "topic_prefix": f"t{token_hex(6)}.",
            "partitions": 3,
            "session_timeout_s": 6.0,
            "ca_file": self.authority.ca_file,
        }
        if mechanism is None:
            told |= {
                "bootstrap_servers": self.with_certificate,
                "security_protocol": "SSL",
                "certificate_file": self.authority.client_certificate,
                "key_file": self.authority.client_key,
            }
        else:
            told |= {
                "bootstrap_servers": self.with_password,
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": mechanism,
                "sasl_username": USER,
                "sasl_password": SecretStr(self.password),
            }
        return KafkaSettings.model_validate(told)


@contextmanager
def secured_kafka(directory: Path, authority: Authority) -> Iterator[SecuredKafka]:
    """A real broker; its plain listener is for its own readiness and for making the user."""
    password = token_hex(12)
    plain, sasl, tls, controller = (f"{LOOPBACK}:{free_port()}" for _ in range(4))
    overrides = {
        "listeners": f"PLAINTEXT://{plain},SASL_SSL://{sasl},SSL://{tls},CONTROLLER://{controller}",
        "controller.quorum.voters": f"1@{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,"
        "CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule "
        f'required user_{USER}="{password}";',
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram."
        "ScramLoginModule required;",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.server_file),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca_file),
        "listener.name.ssl.ssl.client.auth": "required",
    }
    port = int(plain.rpartition(":")[2])
    with LocalKafka(directory, port, overrides=overrides) as server:
        _add_scram_user(server.bootstrap_servers, password)
        yield SecuredKafka(
            authority=authority, password=password, with_password=sasl, with_certificate=tls
        )


@contextmanager
def secured_minio(directory: Path, authority: Authority) -> Iterator[StoreSettings]:
    """A real S3 server that only speaks HTTPS; yields the settings of a client."""
    certificates = directory / ".minio" / "certs"  # it looks at home
    certificates.mkdir(parents=True)
    key, _, chain = authority.server_file.read_text().partition("-----BEGIN CERTIFICATE")
    (certificates / "private.key").write_text(key)
    (certificates / "public.crt").write_text("-----BEGIN CERTIFICATE" + chain)
    port, keys = free_port(), (token_hex(8), token_hex(20))
    endpoint = f"{LOOPBACK}:{port}"
    server = ServerProcess("MinIO", directory / "server.log")
    server.start(
        [minio_binary(), "server", directory / "data", "--address", endpoint],
        lambda: _answers(f"https://{endpoint}/minio/health/ready", authority.ca_file),
        port=port,
        environment={
            "MINIO_ROOT_USER": keys[0],
            "MINIO_ROOT_PASSWORD": keys[1],
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "HOME": str(directory),
        },
        timeout_s=60,
    )
    try:
        yield StoreSettings(
            endpoint=endpoint,
            tls=True,
            ca_file=authority.ca_file,
            bucket=f"t{token_hex(8)}",
            access_key=keys[0],
            secret_key=SecretStr(keys[1]),
        )
    finally:
        server.stop(timeout_s=15)


def _pkcs8(key: bytes) -> bytes:
    """The only form of a key in PEM that Kafka reads."""
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def _add_scram_user(bootstrap_servers: str, password: str) -> None:
    user = UserScramCredentialUpsertion(
        USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
    )
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for added in admin.alter_user_scram_credentials([user]).values():
        added.result()


def _answers(url: str, ca_file: Path) -> bool:
    try:
        answer = httpx.get(url, verify=ssl.create_default_context(cafile=ca_file))
    except httpx.TransportError:
        return False
    return answer.status_code == http.HTTPStatus.OK
