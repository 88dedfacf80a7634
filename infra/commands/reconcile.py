"""`sightline reconcile`: run here where the index is shared, else by the process that owns it."""

from __future__ import annotations

import json
from http import HTTPStatus

import urllib3

from sightline.engine.connecting.connections import owner_headers, running_owner
from sightline.engine.errors import SightlineError
from sightline.engine.settings import Mode, Settings
from sightline.infra.wiring.reconciling import reconcile
from sightline.stream_workers.reconciling.differences import Report
from sightline.stream_workers.reconciling.report_document import RECONCILE_PATH, from_document

_TIMEOUT_S = 600.0


def reconcile_anywhere(settings: Settings, *, repair: bool) -> Report:
    """Compare catalogue and index, and mend on request.

    Raises:
        RefusedToStart: the index is embedded, and its owner does not run.
        PartUnavailable: broker, store or index did not answer.
    """
    if settings.mode is Mode.SERVICES and settings.index.url is not None:
        from sightline.infra.wiring.services import services_node  # noqa: PLC0415 - heavy

        with services_node(settings) as node:
            return reconcile(node, repair=repair)
    url = f"{running_owner(settings).url}{RECONCILE_PATH}?repair={str(repair).lower()}"
    try:
        pool = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False)
        answer = pool.request("POST", url, headers=owner_headers(settings))
    except urllib3.exceptions.HTTPError as error:
        raise SightlineError(f"no answer from {url}: {error}") from error
    if answer.status != HTTPStatus.OK:
        raise SightlineError(f"{url}: {answer.status} {answer.data[:300].decode(errors='replace')}")
    return from_document(json.loads(answer.data))
