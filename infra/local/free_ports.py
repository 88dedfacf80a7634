"""Ports of the loopback interface that nobody listens on."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000
"""Below Linux's ephemeral range: an outgoing connection cannot take the port of a server that is
down for a moment."""
ATTEMPTS = 200


def free_port(choose: random.Random | None = None) -> int:
    """A port that was free a moment ago.

    Raises:
        OSError: none of the ports tried was free.
    """
    chooser = choose or random.SystemRandom()
    for _ in range(ATTEMPTS):
        port = chooser.randrange(LOWEST, HIGHEST)
        if is_free(port):
            return port
    raise OSError(f"no free port between {LOWEST} and {HIGHEST}")


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
