# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The daemons' sockets of a lab's hosts, brought here by ssh: to ask a daemon starts no process on an emulated host."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from lab import access

SECONDS = 60  # of a host that is busy


class _Connection(http.client.HTTPConnection):
    """HTTP to the daemon behind a socket here."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        """Connect, or an OSError when nobody listens: nothing was sent then."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self.path))


def answer(state: Path, host: str, daemon: str, method: str, path: str, body: str | None = None) -> dict[str, Any]:
    """What a daemon of a host answers to a request, whatever its status; an AssertionError when it does not."""
    here = state / f"{host}-{daemon}.sock"
    try:
        connection = _opened(state, host, daemon, here)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException) as error:
        raise AssertionError(f"{host}: {daemon} does not answer {method} {path}: {error!r}") from error


def _opened(state: Path, host: str, daemon: str, here: Path) -> _Connection:
    """A connection; ssh is asked to bring the socket here unless it does: a host that was reset has forgotten it."""
    try:
        return _connected(here)
    except OSError:
        here.unlink(missing_ok=True)
        access.forward(state, host, here, f"/run/device-lending/{daemon}.sock")
        return _connected(here)


def _connected(here: Path) -> _Connection:
    connection = _Connection(here)
    connection.connect()
    return connection
