"""`make compose-env`: the `infra/.env` that compose.yaml asks for: random secrets, written once."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from pathlib import Path

import typer

from sightline.engine.settings import Scope

FILE = Path("infra/.env")
KEY_BYTES = 24


def compose_variables(api_key: str) -> dict[str, str]:
    """Fresh values of every variable that compose.yaml requires; of the API key only its hash."""
    key = {
        "name": "first",
        "sha256": hashlib.sha256(api_key.encode()).hexdigest(),
        "scopes": [scope.value for scope in Scope],
    }
    return {
        "MINIO_ROOT_USER": secrets.token_hex(8),
        "MINIO_ROOT_PASSWORD": secrets.token_hex(20),
        "QDRANT_API_KEY": secrets.token_hex(20),
        "SIGHTLINE_SIGNING_SECRET": secrets.token_hex(32),
        "SIGHTLINE_API_KEYS": json.dumps([key]),
    }


def write_environment(file: Path, api_key: str) -> None:
    """Write the file, readable by its owner alone.

    Raises:
        FileExistsError: it is there already; data volumes were made with its secrets.
    """
    file.touch(mode=0o600, exist_ok=False)
    lines = [f"{name}='{value}'\n" for name, value in compose_variables(api_key).items()]
    file.write_text("".join(lines))


def main(file: Path = FILE) -> int:
    """Write the file and show the API key; 0, also if the file was there."""
    api_key = secrets.token_urlsafe(KEY_BYTES)
    try:
        write_environment(file, api_key)
    except FileExistsError:
        typer.echo(f"{file} exists and stays as it is")
        return 0
    typer.echo(f"wrote {file}; the API key, shown only now: {api_key}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
