"""Ports of the loopback interface that nobody listens on."""

from __future__ import annotations

import secrets
import socket

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000
"""Below Linux's ephemeral range: an outgoing connection cannot take the port of a server that is
down for a moment."""
ATTEMPTS = 200


def free_port() -> int:
    """A port that was free a moment ago, and that no other call gets while this process lives.

    Else two servers that start together meet on one port in one of 12,000 starts, and so does one
    that starts while another is down for a moment.

    Raises:
        OSError: none of the ports tried was free.
    """
    for _ in range(ATTEMPTS):
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        if is_free(port) and _claimed(port):
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


def _claimed(port: int) -> bool:
    """Take the UDP port of the same number, which no server of ours needs, for good.

    The system gives it to one process alone, and takes it back when that process ends.
    """
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True
