# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The emulator's control socket: one JSON object per line in each direction."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import LabError
from .fabric import Fabric


def handle(fabric: Fabric, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a command; returns the answer. Raises KeyError, TypeError or ValueError for a bad request."""
    command = request["command"]
    if command == "state":
        return fabric.state()
    if command == "counters":
        return {"sides": [asdict(counters) for counters in fabric.counters], "faults": asdict(fabric.faults)}
    if command == "link":
        fabric.set_link(bool(request["up"]))
        return fabric.state()
    if command == "reset":
        fabric.reset(int(request["side"]))
        return fabric.state()
    if command == "ordering":
        fabric.strict = {"strict": True, "weak": False}[request["mode"]]
        return fabric.state()
    if command == "fault":
        for name in asdict(fabric.faults):
            if name in request:
                setattr(fabric.faults, name, int(request[name]))
        return asdict(fabric.faults)
    raise ValueError(f"unknown command {command!r}")


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A path to a socket that fits into a socket address, however deep the directory lies."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def call(path: Path, request: dict[str, Any], timeout: float = 10.0) -> dict[str, Any]:
    """Send a command to an emulator and return its answer; raises LabError if it fails or does not answer."""
    try:
        with short_path(path) as short, socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(short)
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as stream:
                answer = json.loads(stream.readline() or b'{"error": "no answer"}')
    except OSError as error:
        raise LabError(f"the emulator does not answer on {path}: {error}") from error
    if "error" in answer:
        raise LabError(f"the emulator refused {request}: {answer['error']}")
    return dict(answer)
