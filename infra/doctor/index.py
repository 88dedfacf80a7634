"""The vector index: a server that answers, or a directory that is free, and which generation."""

from __future__ import annotations

import fcntl
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sightline.engine.settings import IndexSettings, Settings
from sightline.engine.vector_index.edge.directory import read_current, read_json
from sightline.infra.doctor.findings import Finding, bad, fine

PART = "index"


def check_index(settings: Settings) -> Iterator[Finding]:
    """Who holds the index and which generation serves; nothing is opened or created."""
    if settings.index.url is None:
        yield from _directory(settings.index_directory)
    else:
        yield _server(settings.index, settings.index.url)


def serving(directory: Path) -> dict[str, Any] | None:
    """What the embedded generation that serves records; None before the first."""
    name = read_current(directory)
    return None if name is None else read_json(directory / name / "spec.json")


def _directory(directory: Path) -> Iterator[Finding]:
    name = read_current(directory)
    if name is None:
        yield fine(PART, f"{directory} holds no generation yet; the first start makes one")
        return
    spec = serving(directory)
    if spec is None:
        remedy = "restore the directory, or point index.directory at an empty one and replay"
        yield bad(PART, f"generation {name} in {directory} has no spec.json", remedy)
        return
    owner = _holder(directory / name / "owner.lock")
    held = f"in use by process {owner}" if owner else "not in use"
    yield fine(PART, f"generation {name} in {directory}, {held}")


def _holder(lock: Path) -> str | None:
    """Which process has the lock; None: nobody."""
    if not lock.is_file():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read().strip() or "unknown"
    return None


def _server(index: IndexSettings, url: str) -> Finding:
    try:
        aliases = _get(index, f"{url.rstrip('/')}/aliases")["result"]["aliases"]
    except urllib.error.HTTPError as error:
        return _refused(url, error.code)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", error)
        remedy = "start Qdrant, or correct index.url; behind a private authority, index.ca_file"
        return bad(PART, f"{url}: {reason}", remedy)
    name = index.collection_prefix
    serves = [a["collection_name"] for a in aliases if a["alias_name"] == name]
    if not serves:
        return fine(PART, f"{url} answers, no generation {name} yet; the first start makes one")
    return fine(PART, f"{url} answers, {name} is served by {serves[0]}")


def _refused(url: str, status: int) -> Finding:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return bad(PART, f"{url} refuses our key ({status})", "correct SIGHTLINE_INDEX__API_KEY")
    return bad(PART, f"{url} answers {status}", "correct index.url: it names no Qdrant server")


def _get(index: IndexSettings, url: str) -> Any:
    if not url.startswith(("http://", "https://")):
        raise ValueError("index.url must begin with http:// or https://")
    headers = {} if index.api_key is None else {"api-key": index.api_key.get_secret_value()}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - scheme checked above
    context = ssl.create_default_context(cafile=index.ca_file)
    with urllib.request.urlopen(  # noqa: S310 - scheme checked above
        request, timeout=index.timeout_s, context=context
    ) as answer:
        return json.load(answer)
