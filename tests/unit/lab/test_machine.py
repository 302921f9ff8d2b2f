# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Sessions with a QEMU that is starting."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from lab import machine, process
from lab.errors import LabError

MYSELF = {"pid": os.getpid(), "start": process.start_time(os.getpid()) or 0}


def serve(listener: socket.socket) -> None:
    """Be there, and listen a moment later, as QEMU is."""
    time.sleep(0.3)
    listener.listen()
    stream = listener.accept()[0].makefile("rw", encoding="utf-8")
    for answer in ({"QMP": {}}, {"return": {}}, {"return": {"status": "inmigrate"}}):
        stream.write(json.dumps(answer) + "\n")
        stream.flush()
        stream.readline()


def test_one_that_does_not_listen_yet_is_asked_again(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp.sock"))
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        with machine._first_session(MYSELF, time.monotonic() + 300, tmp_path) as monitor:
            assert monitor.execute("query-status") == {"status": "inmigrate"}


def test_one_that_never_does_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    (tmp_path / "qemu.log").write_text("no such device\n")
    with (
        pytest.raises(LabError, match="did not start"),
        machine._first_session(MYSELF, time.monotonic() + 0.2, tmp_path),
    ):
        pass
