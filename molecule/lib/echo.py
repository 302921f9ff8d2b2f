#!/usr/bin/env python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Random data to a server and back again, compared. Runs on the hosts: echo.py serve, or echo.py check HOST KIB."""

from __future__ import annotations

import os
import socket
import socketserver
import sys
import time

PORT = 7007
WAIT = 60.0


class Echo(socketserver.BaseRequestHandler):
    """Takes all that comes, and then sends it back."""

    def handle(self) -> None:
        self.request.sendall(everything(self.request))


class Server(socketserver.ThreadingTCPServer):
    """Serves several at once."""

    allow_reuse_address = True
    daemon_threads = True


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side has no more."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def connect(host: str) -> socket.socket:
    """A connection to the server; a network card takes a moment until it has a link."""
    end = time.monotonic() + WAIT
    while True:
        try:
            return socket.create_connection((host, PORT), timeout=5)
        except OSError as error:
            if time.monotonic() > end:
                sys.exit(f"no connection to {host}: {error}")
            time.sleep(0.5)


def check(host: str, size: int) -> None:
    """Send random data and compare what comes back."""
    data = os.urandom(size)
    with connect(host) as connection:
        connection.settimeout(WAIT)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        if everything(connection) != data:
            sys.exit("what came back is not what was sent")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        Server(("", PORT), Echo).serve_forever()
    else:
        check(sys.argv[2], int(sys.argv[3]) << 10)
