"""The object store: does it answer, is the bucket there, may we write, read and delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import uuid4

from sightline.engine.connecting.connections import connect_object_store, object_directory
from sightline.engine.errors import SightlineError
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.doctor.findings import Finding, bad, fine

PROBE = "thumbnails/doctor-"
"""Under a prefix of ours whose objects may vanish at any time."""
_NO_BUCKET = "NoSuchBucket"
_REMEDIES = {
    "InvalidAccessKeyId": "correct store.access_key",
    "SignatureDoesNotMatch": "correct SIGHTLINE_STORE__SECRET_KEY",
    "AccessDenied": "grant s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket",
    "RequestTimeTooSkewed": "set this machine's clock",
    "CERTIFICATE_VERIFY_FAILED": "set store.ca_file to the authority of the store's certificate",
    "WRONG_VERSION_NUMBER": "the store does not talk TLS: set store.tls = false",
}
_DEFAULT = "start it (`make up`), or correct store.endpoint, store.tls and store.region"


def check_store(settings: Settings) -> Iterator[Finding]:
    """One probe object is written, read and deleted."""
    directory = object_directory(settings)
    if directory is not None and not (directory / settings.store.bucket).is_dir():
        yield fine("store", f"{directory} holds no objects yet; the first start makes it")
        return
    try:
        store = connect_object_store(settings)
    except SightlineError as error:
        yield _failed("connect", error)
        return
    with closing(store):
        yield from _probe(store, settings.store.bucket)


def _probe(store: ObjectStore, bucket: str) -> Iterator[Finding]:
    key, data = f"{PROBE}{uuid4().hex}", b"sightline doctor"
    steps: dict[str, Callable[[], object]] = {
        "write to": lambda: store.put(bucket, key, data),
        "read from": lambda: store.get(bucket, key, max_bytes=len(data)),
        "list": lambda: next(store.list(bucket, PROBE), None),
        "delete from": lambda: store.delete(bucket, key),
    }
    for doing, step in steps.items():
        try:
            step()
        except SightlineError as error:
            if _NO_BUCKET in str(error):
                yield fine("store", f"no bucket {bucket} yet; the first start creates it")
            else:
                yield _failed(f"{doing} bucket {bucket}", error)
            return
    yield fine("store", f"bucket {bucket}: written, read, listed and deleted a probe")
    yield from _versions(store, bucket)


def _versions(store: ObjectStore, bucket: str) -> Iterator[Finding]:
    try:
        kept = store.keeps_versions(bucket)
    except SightlineError as error:
        yield fine("store", f"may not be asked whether bucket {bucket} keeps old versions: {error}")
        return
    if kept:
        told = f"bucket {bucket} keeps what is deleted, as old versions that no rule ends"
        yield bad("store", told, "let them expire (docs/privacy.md#a-bucket-with-versions)")


def _failed(doing: str, error: SightlineError) -> Finding:
    # What the client said is only searched for signs: our own error has no secret in it.
    said = f"{error} {error.__cause__}"
    remedy = next((told for sign, told in _REMEDIES.items() if sign in said), _DEFAULT)
    return bad("store", f"cannot {doing}: {error}", remedy)
