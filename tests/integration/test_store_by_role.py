"""The object store without keys in the settings: by the role of the machine or the pod."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from minio.credentials import AssumeRoleProvider
from pydantic import SecretStr

from sightline.engine.clock import ManualClock
from sightline.engine.errors import ObjectDenied
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.settings import StoreSettings
from sightline.stream_workers.indexing.open_buckets import OpenBuckets
from tests.json_server import answering

VALID_S = 900
"""The shortest that the server grants."""


@pytest.fixture
def role(store_settings: StoreSettings) -> Iterator[str]:
    """The address where a pod asks for its credentials, with the server's own temporary ones."""
    assert store_settings.secret_key is not None
    granted = AssumeRoleProvider(
        sts_endpoint=f"http://{store_settings.endpoint}",
        access_key=str(store_settings.access_key),
        secret_key=store_settings.secret_key.get_secret_value(),
        duration_seconds=VALID_S,
    ).retrieve()
    answer = {
        "Code": "Success",
        "AccessKeyId": granted.access_key,
        "SecretAccessKey": granted.secret_key,
        "Token": granted.session_token,
        "Expiration": "2100-01-01T00:00:00Z",
    }
    with answering(answer) as url:
        yield f"{url}/role"


@pytest.fixture
def without_keys(store_settings: StoreSettings) -> StoreSettings:
    """The same bucket, and no keys."""
    return store_settings.model_copy(update={"access_key": None, "secret_key": None})


def test_a_pod_stores_by_its_role(
    without_keys: StoreSettings, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary keys and their session token come from the machine."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role)
    with closing(S3ObjectStore(without_keys)) as store:
        store.put(without_keys.bucket, "by/role", b"bytes")
        assert store.get(without_keys.bucket, "by/role") == b"bytes"
        assert [item.key for item in store.list(without_keys.bucket, "by/")] == ["by/role"]


def test_keys_of_the_environment_are_a_role_too(
    store_settings: StoreSettings, without_keys: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names that every S3 client reads."""
    assert store_settings.secret_key is not None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(store_settings.access_key))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store_settings.secret_key.get_secret_value())
    with closing(S3ObjectStore(without_keys)) as store:
        store.put(without_keys.bucket, "k", b"bytes")
        assert store.get(without_keys.bucket, "k") == b"bytes"


def test_a_denied_object_and_a_closed_bucket_are_told_apart(store_settings: StoreSettings) -> None:
    """By keys that may read all but one object, and by keys that may only list the bucket."""
    bucket = store_settings.bucket
    with closing(S3ObjectStore(store_settings)) as ours:
        for key in ("closed.jpg", "open.jpg"):
            ours.put(bucket, key, b"two bytes and more")
    for denied, is_open in (("closed.jpg", True), ("*", False)):
        settings = keys_without(store_settings, denied)
        with closing(S3ObjectStore(settings)) as store:
            for read in (store.get, store.stat):
                with pytest.raises(ObjectDenied):
                    read(bucket, "closed.jpg")
            buckets = OpenBuckets(store, ManualClock())
            assert buckets.is_open(bucket, closed_key="closed.jpg", since_s=0.0) == is_open


def keys_without(settings: StoreSettings, denied: str) -> StoreSettings:
    """Keys that may do all in the bucket but read the denied objects; another bucket is theirs."""
    assert settings.secret_key is not None
    place = f"arn:aws:s3:::{settings.bucket}"
    allowed = {"Effect": "Allow", "Action": ["s3:*"], "Resource": [place, f"{place}/*"]}
    denies = {"Effect": "Deny", "Action": ["s3:GetObject"], "Resource": [f"{place}/{denied}"]}
    granted = AssumeRoleProvider(
        sts_endpoint=f"http://{settings.endpoint}",
        access_key=str(settings.access_key),
        secret_key=settings.secret_key.get_secret_value(),
        duration_seconds=VALID_S,
        policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed, denies]}),
    ).retrieve()
    keys = {
        "bucket": "another",
        "access_key": granted.access_key,
        "secret_key": SecretStr(granted.secret_key),
        "session_token": SecretStr(str(granted.session_token)),
    }
    return settings.model_copy(update=keys)
