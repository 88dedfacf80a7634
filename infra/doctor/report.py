"""`sightline doctor`: each part asked once, what it says and one line of remedy.

Nothing is changed: the only thing written is a probe object, which is deleted again. Nothing that
is secret is told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from sightline.engine.settings import Settings
from sightline.infra.doctor.broker import check_broker
from sightline.infra.doctor.embedder import check_embedder
from sightline.infra.doctor.findings import Finding
from sightline.infra.doctor.index import check_index
from sightline.infra.doctor.machine import check_machine
from sightline.infra.doctor.settings import check_settings
from sightline.infra.doctor.store import check_store

Check = Callable[[Settings], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    check_settings,
    check_machine,
    check_broker,
    check_store,
    check_index,
    check_embedder,
)


def checks(settings: Settings) -> Iterator[Finding]:
    """Every finding, part by part, as soon as it is known."""
    for check in CHECKS:
        yield from check(settings)


def report_findings(settings: Settings, out: TextIO | None = None) -> bool:
    """Print every finding; whether all is well."""
    stream = out or sys.stdout
    well = True
    for finding in checks(settings):
        stream.write(f"{finding}\n")
        stream.flush()
        well = well and finding.ok
    return well
