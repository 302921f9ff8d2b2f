# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Commands to a running QEMU over its machine protocol."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from .errors import LabError
from .ntb.control import short_path


def command(path: Path, name: str, timeout: float = 10.0) -> Any:
    """Carry out a command without arguments; returns its result. Raises LabError if QEMU refuses or does not answer."""
    try:
        with short_path(path) as short, socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(short)
            with sock.makefile("rw", encoding="utf-8") as stream:
                _answer(stream)
                for execute in ("qmp_capabilities", name):
                    stream.write(json.dumps({"execute": execute}) + "\n")
                    stream.flush()
                    answer = _answer(stream)
    except (OSError, ValueError) as error:
        raise LabError(f"QEMU does not answer on {path}: {error}") from error
    if "error" in answer:
        raise LabError(f"QEMU refused {name}: {answer['error'].get('desc')}")
    return answer["return"]


def _answer(stream: Any) -> dict[str, Any]:
    """The next message that is not an event."""
    while True:
        line = stream.readline()
        if not line:
            raise ValueError("connection closed")
        message = dict(json.loads(line))
        if "event" not in message:
            return message
