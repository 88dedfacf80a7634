"""Stands for a worker: hands its standard streams to one that the server forks, and waits for it.

Started by pytest-xdist in place of an interpreter, with the server's address.
"""

from __future__ import annotations

import socket
import sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.recv(1)  # nothing, when the worker has ended
