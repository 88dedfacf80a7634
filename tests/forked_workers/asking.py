"""Stands for a worker: hands its standard streams to one that the server forks, and waits for it.

Started by pytest-xdist in place of an interpreter, with the server's address.
"""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import suppress

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started the run
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b"."], [0, 1, 2])
    with suppress(ConnectionError):  # the server ended before it was asked
        server.recv(1)  # nothing, when the worker has ended
