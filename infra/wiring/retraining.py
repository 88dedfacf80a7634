"""The retraining beside a node: a child process, since a training must not slow searches down."""

from __future__ import annotations

import json
import logging
import threading

from sightline.engine.settings import Settings
from sightline.infra.supervision.children import ChildProcess, kept_running, plain, run_child
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.node import Node

MODULE = "sightline.infra.commands.retraining"


def retraining_loops(node: Node) -> dict[str, Loop]:
    """The child that retrains; none where `retraining.supervised` is off."""
    if not node.settings.retraining.supervised:
        return {}
    level = logging.getLevelName(logging.getLogger().level)
    child = ChildProcess(
        name="retraining", module=MODULE, line=orders(node.settings, level), leaves=False
    )

    def run(stop: threading.Event) -> int | None:
        return run_child(child, stop)

    return {"retraining": kept_running(child.name, run, node.clock)}


def orders(settings: Settings, log_level: str) -> bytes:
    """The line that the child reads: all settings, secrets among them."""
    told = {"settings": plain(settings.model_dump()), "log_level": log_level}
    return json.dumps(told).encode() + b"\n"
