# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Commands to a running QEMU over its machine protocol."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import LabError
from .ntb.control import short_path


class Session:
    """A connection to one QEMU."""

    def __init__(self, path: Path, stream: Any) -> None:
        self._path = path
        self._stream = stream

    def execute(self, name: str, **arguments: Any) -> Any:
        """Carry out a command and return its result. Raises LabError if QEMU refuses or does not answer."""
        try:
            self._stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            self._stream.flush()
            answer = _answer(self._stream)
        except (OSError, ValueError) as error:
            raise _silent(self._path, error) from error
        if "error" in answer:
            raise LabError(f"QEMU refused {name}: {answer['error'].get('desc')}")
        return answer["return"]

    def monitor(self, line: str) -> None:
        """Carry out a command of QEMU's monitor for people, one that says nothing unless it fails. Raises LabError."""
        said = self.execute("human-monitor-command", **{"command-line": line})
        if said.strip():
            raise LabError(f"QEMU refused {line}: {said.strip()}")


@contextlib.contextmanager
def session(path: Path, timeout: float = 10.0) -> Iterator[Session]:
    """A session on a socket; each answer has to come within `timeout` seconds. Raises LabError."""
    with short_path(path) as short, socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(short)
            stream = sock.makefile("rw", encoding="utf-8")
            _answer(stream)  # the greeting
        except (OSError, ValueError) as error:
            raise _silent(path, error) from error
        with stream:
            opened = Session(path, stream)
            opened.execute("qmp_capabilities")
            yield opened


def command(path: Path, name: str, timeout: float = 10.0) -> Any:
    """Carry out one command without arguments; returns its result. Raises LabError."""
    with session(path, timeout) as opened:
        return opened.execute(name)


def _silent(path: Path, error: Exception) -> LabError:
    return LabError(f"QEMU does not answer on {path}: {error}")


def _answer(stream: Any) -> dict[str, Any]:
    """The next message that is not an event."""
    while True:
        line = stream.readline()
        if not line:
            raise ValueError("connection closed")
        message = dict(json.loads(line))
        if "event" not in message:
            return message
