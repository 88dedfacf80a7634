"""The object store on S3 or anything that speaks it, through the minio client.

Why this client, and a presigned URL beside it: docs/adr/0015.
"""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED
from minio.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
    StaticProvider,
)
from minio.error import S3Error, ServerError
from minio.lifecycleconfig import Rule

from sightline.engine.errors import Conflict, Part, PartUnavailable, TooLarge
from sightline.engine.object_store.s3_errors import VENDOR_ERRORS, error_of, is_vague
from sightline.engine.records import StoredObject
from sightline.engine.settings import StoreSettings

P = ParamSpec("P")
R = TypeVar("R")

_META = "x-amz-meta-"
_SIGNED_FOR = timedelta(minutes=5)
_LOST_STATUS = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT)


def _mapped(
    call: Callable[Concatenate[S3ObjectStore, P], R],
) -> Callable[Concatenate[S3ObjectStore, P], R]:
    """Raise our errors where the client raises its own."""

    @functools.wraps(call)
    def mapped(store: S3ObjectStore, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(store, *args, **kwargs)
        except VENDOR_ERRORS as error:
            asked = inspect.signature(call).bind(store, *args, **kwargs).arguments
            place = (asked["bucket"], asked.get("key", ""))
            raise error_of(error, call.__name__, place, own_bucket=store.own_bucket) from error

    return mapped


class S3ObjectStore:
    """An `ObjectStore` on an S3 endpoint.

    Args:
        settings: endpoint, TLS, region, keys (none: the machine's role) and timeouts.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.own_bucket = settings.bucket
        self._pool = _pool(settings)
        self._client = Minio(
            settings.endpoint,
            secure=settings.tls,
            region=settings.region,
            credentials=_credentials(settings, self._pool),
            http_client=self._pool,
        )

    @_mapped
    def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream"
    ) -> StoredObject:
        """See `ObjectStore.put`."""
        written = self._client.put_object(
            bucket, key, io.BytesIO(data), len(data), content_type=content_type
        )
        return StoredObject(
            bucket=bucket,
            key=key,
            size_bytes=len(data),
            etag=str(written.etag),
            content_type=content_type,
        )

    @_mapped
    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """See `ObjectStore.put_if`.

        Through a presigned URL: the client's own `put_object` silently drops the condition.
        """
        url = self._client.get_presigned_url("PUT", bucket, key, expires=_SIGNED_FOR)
        condition = (
            {"If-None-Match": "*"} if expected_etag is None else {"If-Match": f'"{expected_etag}"'}
        )
        answer = self._pool.request("PUT", url, body=data, headers=condition, retries=False)
        if answer.status in _LOST_STATUS or _vanished(answer, expected_etag):
            raise Conflict(f"{bucket}/{key} is no longer what was read")
        if answer.status != HTTPStatus.OK:
            raise PartUnavailable(Part.STORE, f"put_if {bucket}/{key}: HTTP {answer.status}")
        return StoredObject(
            bucket=bucket, key=key, size_bytes=len(data), etag=answer.headers["ETag"].strip('"')
        )

    @_mapped
    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """See `ObjectStore.get`; a body that ends early is `PartUnavailable`."""
        answer = self._client.get_object(bucket, key)
        with closing(answer):
            if max_bytes is None:
                data: bytes = answer.read()
            elif _announced_bytes(answer) > max_bytes:
                raise TooLarge(f"{bucket}/{key} is over {max_bytes} bytes")
            else:
                data = answer.read(None if _is_as_announced(answer) else max_bytes + 1)
                if len(data) > max_bytes:
                    raise TooLarge(f"{bucket}/{key} is over {max_bytes} bytes")
            answer.release_conn()
        return data

    @_mapped
    def stat(self, bucket: str, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        try:
            return _stored(self._client.stat_object(bucket, key))
        except (S3Error, ServerError, ValueError) as error:
            if not is_vague(error):
                raise
            # An answer to HEAD has no body, so it cannot say what is wrong; one to GET does.
            self._client.get_object(bucket, key, offset=0, length=1).close()
            if isinstance(error, ValueError):  # the conflict is over
                raise PartUnavailable(Part.STORE, f"stat {bucket}/{key}: HTTP 409") from error
            raise

    @_mapped
    def delete(self, bucket: str, key: str) -> None:
        """See `ObjectStore.delete`."""
        self._client.remove_object(bucket, key)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.list`; user metadata is not listed."""
        try:
            for item in self._client.list_objects(
                bucket, prefix=prefix, recursive=True, start_after=start_after or None
            ):
                yield _stored(item)
        except VENDOR_ERRORS as error:
            place = (bucket, prefix)
            raise error_of(error, "list", place, own_bucket=self.own_bucket) from error

    @_mapped
    def ensure_bucket(self, bucket: str) -> None:
        """See `ObjectStore.ensure_bucket`."""
        if self._client.bucket_exists(bucket):
            return
        try:
            self._client.make_bucket(bucket)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    @_mapped
    def keeps_versions(self, bucket: str) -> bool:
        """See `ObjectStore.keeps_versions`."""
        if self._client.get_bucket_versioning(bucket).status is None:  # it never was on
            return False
        rules = self._client.get_bucket_lifecycle(bucket)
        return rules is None or not any(map(_ends_old_versions, rules.rules))

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._pool.clear()


def _pool(settings: StoreSettings) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=min(3.0, settings.timeout_s), read=settings.timeout_s),
        "maxsize": settings.pool_size,
        # One quick second try mends a connection that the server closed between two requests;
        # waiting out an outage is the caller's, who knows what else to do meanwhile.
        # Nor is a `Retry-After` obeyed here: a server that starts says 60 s and is there in one.
        "retries": urllib3.Retry(
            total=1, backoff_factor=0.1, status_forcelist=[], respect_retry_after_header=False
        ),
    }
    if settings.tls:
        options |= {"cert_reqs": "CERT_REQUIRED"}
        if settings.ca_file is not None:
            options |= {"ca_certs": str(settings.ca_file)}
    return urllib3.PoolManager(**options)


def _credentials(settings: StoreSettings, pool: urllib3.PoolManager) -> Provider:
    if settings.access_key is not None:
        return StaticProvider(
            settings.access_key,
            settings.secret_key.get_secret_value() if settings.secret_key else "",
            settings.session_token.get_secret_value() if settings.session_token else None,
        )
    return _MachineRole([EnvAWSProvider(), AWSConfigProvider(), IamAwsProvider(http_client=pool)])


class _MachineRole(ChainedProvider):
    """The machine's own credentials; that there are none just now is an outage, not an answer."""

    def retrieve(self) -> Credentials:
        """The first provider's that has some. Raises `PartUnavailable`."""
        try:
            return super().retrieve()
        except ValueError as error:
            raise PartUnavailable(
                Part.STORE, f"set store.access_key, or give this machine a role: {error}"
            ) from error


def _ends_old_versions(rule: Rule) -> bool:
    """Whether the rule is on, and about every object of the bucket."""
    about = rule.rule_filter
    of_some = about is not None and (about.prefix or about.tag or about.and_operator)
    return rule.status == ENABLED and not of_some and bool(rule.noncurrent_version_expiration)


def _vanished(answer: urllib3.BaseHTTPResponse, expected_etag: str | None) -> bool:
    """Whether what was to be replaced has been deleted: servers say 404 to an `If-Match` then."""
    return expected_etag is not None and answer.status == HTTPStatus.NOT_FOUND


def _announced_bytes(answer: urllib3.BaseHTTPResponse) -> int:
    """What the header says; 0 where it says nothing that is a length."""
    said = answer.headers.get("Content-Length", "")
    return int(said) if said.isascii() and said.isdecimal() else 0


def _is_as_announced(answer: urllib3.BaseHTTPResponse) -> bool:
    """Whether the body ends where the header says; in chunks, or packed, it has another length.

    To read up to a bound costs two more copies, and a read that finds the end.
    """
    odd = "Transfer-Encoding" in answer.headers or "Content-Encoding" in answer.headers
    return _announced_bytes(answer) > 0 and not odd


def _stored(item: Any) -> StoredObject:
    metadata = {str(k).lower(): str(v) for k, v in (item.metadata or {}).items()}
    return StoredObject(
        bucket=item.bucket_name,
        key=item.object_name,
        size_bytes=item.size or 0,
        etag=str(item.etag).strip('"'),
        modified=item.last_modified,
        content_type=item.content_type or "application/octet-stream",
        metadata={
            name.removeprefix(_META): value
            for name, value in metadata.items()
            if name.startswith(_META)
        },
    )
