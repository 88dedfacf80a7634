"""The bill of materials names all that a deployment installs, and is what its format demands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sightline.infra.generating.sbom import CHECKOUT, PINS, sbom
from sightline.infra.local import minio_binary


def test_it_is_valid_and_the_same_each_time() -> None:
    """CycloneDX 1.6, by its own schema."""
    text = json.dumps(sbom())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert text == json.dumps(sbom())


def test_every_pin_and_every_model_is_in_it() -> None:
    """With the hashes that an installer demands."""
    document = sbom()
    named = {(one["name"], one.get("version")): one for one in document["components"]}
    for name in PINS:
        text = (CHECKOUT / name).read_text()
        for package, version in re.findall(
            r"^([\w.-]+)(?:\[.*?\])?==([^\s;\\]+)", text, re.MULTILINE
        ):
            assert named[package, version]["hashes"], package
    models = {path.name for path in (CHECKOUT / "engine/embedding").glob("*.safetensors")}
    assert models
    assert models <= {one["name"] for one in document["components"]}


def test_the_servers_beside_us_are_in_it() -> None:
    """The jars of the broker, the store, and the images that Compose starts and builds from."""
    named = {one.get("purl") for one in sbom()["components"]}
    maven = {"m": "http://maven.apache.org/POM/4.0.0"}
    pom = ET.parse(CHECKOUT / "infra/kafka/pom.xml")  # noqa: S314 - our own file
    jars = [
        [jar.findtext(f"m:{part}", "", maven) for part in ("groupId", "artifactId", "version")]
        for jar in pom.iterfind(".//m:dependency", maven)
    ]
    assert len(jars) >= 2
    assert {f"pkg:maven/{group}/{name}@{version}" for group, name, version in jars} <= named
    assert f"pkg:golang/{minio_binary.MODULE}@{minio_binary.VERSION}" in named
    services = yaml.safe_load((CHECKOUT / "infra/compose.yaml").read_text())["services"]
    images = {one["image"] for one in services.values() if ":" in one.get("image", "")}
    built = re.findall(
        r"^FROM (\S+:\S+)", (CHECKOUT / "infra/Dockerfile").read_text(), re.MULTILINE
    )
    assert len(images) >= 2
    assert len(built) >= 3
    assert {f"pkg:docker/{image.replace(':', '@')}" for image in (*images, *built)} <= named


def test_make_has_a_target_for_it() -> None:
    """`make sbom`, as the documentation says."""
    assert re.search(r"^sbom:", Path(CHECKOUT / "Makefile").read_text(), re.MULTILINE)
