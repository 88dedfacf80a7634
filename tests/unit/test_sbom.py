"""The bill of materials names all that a deployment installs, and is what its format demands."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sightline.infra.generating.sbom import CHECKOUT, PINS, sbom


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


def test_make_has_a_target_for_it() -> None:
    """`make sbom`, as the documentation says."""
    assert re.search(r"^sbom:", Path(CHECKOUT / "Makefile").read_text(), re.MULTILINE)
