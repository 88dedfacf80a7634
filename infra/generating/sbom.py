"""What a deployment is made of, as a CycloneDX 1.6 document: all that is pinned, and model files.

`python -m sightline.infra.generating.sbom FILE` writes it; the same checkout gives the same bytes.
Packages are those of the pins that deployments install, with the hashes that installers demand of
them, and with the licence where a package that is installed here states one. Kafka's jars and MinIO
are what `sightline services` starts, images what Compose does.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from sightline.infra.local.minio_binary import MODULE as MINIO
from sightline.infra.local.minio_binary import VERSION as MINIO_VERSION

CHECKOUT = Path(__file__).resolve().parents[2]
PINS = ("infra/requirements/embedded.txt", "infra/requirements/services.txt")
MODELS = "engine/embedding"
JARS = "infra/kafka/pom.xml"
IMAGES = ("infra/compose.yaml", "infra/Dockerfile")
_JAR = re.compile(
    r"<groupId>([\w.-]+)</groupId>\s*<artifactId>([\w.-]+)</artifactId>\s*(?:<!--[^>]*-->\s*)?"
    r"<version>([\w.-]+)</version>"
)
_IMAGE = re.compile(r"^(?:\s+image:|FROM) ([\w./-]+):([\w.-]+)", re.MULTILINE)
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_MAX_LICENCE_CHARS = 120
"""Longer ones are a licence's whole text, not its name."""

Component = dict[str, Any]


def sbom(checkout: Path = CHECKOUT) -> dict[str, Any]:
    """Builds the list of packages and models that an installation has (CycloneDX)."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    packages = {one["bom-ref"]: one for name in PINS for one in _packages(checkout / name)}
    ours = f"pkg:pypi/{project['name']}@{project['version']}"
    about = {"type": "application", "bom-ref": ours, "purl": ours}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": about
            | {"name": project["name"], "version": project["version"]}
            | {"licenses": [{"license": {"id": project["license"]}}]}
        },
        "components": [packages[ref] for ref in sorted(packages)]
        + list(_models(checkout))
        + list(_servers(checkout)),
    }


def _packages(file: Path) -> Iterator[Component]:
    """One component a pinned version; a file may pin several for different machines."""
    for entry in re.split(r"\n(?=\S)", file.read_text().replace("\\\n", " ")):
        found = _PIN.match(entry)
        if found is None:
            continue
        name, version = found.groups()
        purl = f"pkg:pypi/{name.lower()}@{version}"
        hashes = [{"alg": "SHA-256", "content": digest} for digest in _HASH.findall(entry)]
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "hashes": hashes,
        } | _licence(name, version)


def _licence(name: str, version: str) -> dict[str, Any]:
    """Reads the licence from the package that is installed here, if it is the pinned one."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return {}
    stated = (about[field] for field in ("License-Expression", "License") if field in about)
    said = next(stated, "")
    known = about["Version"] == version and said and len(said) <= _MAX_LICENCE_CHARS
    return {"licenses": [{"license": {"name": said}}]} if known else {}


def _models(checkout: Path) -> Iterator[Component]:
    for path in sorted((checkout / MODELS).glob("*.safetensors")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield {
            "type": "machine-learning-model",
            "bom-ref": f"sha256:{digest}",
            "name": path.name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }


def _servers(checkout: Path) -> Iterator[Component]:
    """Broker, store and index that run beside us, and what their images are made of."""
    for group, name, version in sorted(_JAR.findall((checkout / JARS).read_text())):
        if group != "sightline":  # the pom itself
            yield _pinned("library", name, version, f"pkg:maven/{group}/{name}@{version}")
    yield _pinned("application", "minio", MINIO_VERSION, f"pkg:golang/{MINIO}@{MINIO_VERSION}")
    texts = ((checkout / file).read_text() for file in IMAGES)
    for name, version in sorted({image for text in texts for image in _IMAGE.findall(text)}):
        yield _pinned("container", name, version, f"pkg:docker/{name}@{version}")


def _pinned(kind: str, name: str, version: str, purl: str) -> Component:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main(file: str) -> None:
    """Writes the document to a file and says how many components it has."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = sbom()
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"wrote {path}: {len(document['components'])} components\n")


if __name__ == "__main__":
    main(sys.argv[1])
