"""What the forked processes of the tests begin with, see `forking`."""

# ruff: noqa: F401, E402 - imported for the sake of it, and in the order of a node's start

from __future__ import annotations

from sightline.engine.garbage_collection import collect_garbage_seldom
from sightline.engine.linear_algebra import keep_products_to_one_thread

keep_products_to_one_thread()

import faust.app.router
import faust.assignor.leader_assignor
import faust.tables.manager
import faust.topics
import faust.web.cache.backends.memory
import faust.web.drivers.aiohttp
import pydantic.v1
import pytest
import qdrant_edge
import typer._click.termui
import uvicorn.lifespan.on
import uvicorn.loops.auto

import sightline.engine.embedding.openvino_runtime
import sightline.engine.event_log.embedded.journaled_log
import sightline.engine.object_store.directory
import sightline.engine.vector_index.edge.index
import sightline.infra.cli.main
import sightline.infra.processes.node
import tests.label_worker

collect_garbage_seldom()
