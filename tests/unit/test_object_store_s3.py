"""What only the S3 adapter can get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.engine.errors import PartUnavailable
from sightline.engine.object_store_s3 import S3ObjectStore
from sightline.engine.settings import StoreSettings
from sightline.infra.free_ports import free_port


def test_a_machine_without_credentials_is_an_outage_and_no_missing_object(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While a role's credentials cannot be had, images wait; they are not rejected as missing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", nowhere)
    store = S3ObjectStore(StoreSettings(endpoint="127.0.0.1:1", access_key=None, timeout_s=0.5))
    with pytest.raises(PartUnavailable, match=r"store\.access_key|no answer|get:"):
        store.get("bucket", "key")
