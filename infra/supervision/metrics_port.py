"""A process's metrics on a port of their own."""

from __future__ import annotations

import logging

from prometheus_client import start_http_server

from sightline.engine.errors import SettingsInvalid
from sightline.engine.metrics import Metrics

EVERYWHERE = "0.0.0.0"  # noqa: S104 - Prometheus asks from elsewhere
_log = logging.getLogger(__name__)


def serve_metrics(
    metrics: Metrics, port: int | None, *, setting: str, host: str = EVERYWHERE
) -> None:
    """Serve them until the process ends; without a port, nothing.

    Args:
        setting: where the port comes from, for the message.

    Raises:
        SettingsInvalid: the port is taken.
    """
    if port is None:
        return
    try:
        start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        raise SettingsInvalid(
            f"cannot serve metrics on port {port} ({error.strerror}): give {setting} another one"
        ) from error


def serve_metrics_if_free(metrics: Metrics, port: int | None, *, setting: str, host: str) -> None:
    """The same for a part that works without: a port that is taken is said and left."""
    try:
        serve_metrics(metrics, port, setting=setting, host=host)
    except SettingsInvalid as error:
        _log.warning("%s", error)
