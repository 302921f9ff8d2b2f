# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Waiting for hosts that do not come."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lab import process, waiting
from lab.errors import LabError

MYSELF = {"pid": os.getpid(), "start": process.start_time(os.getpid()) or 0}
PANIC = "[    0.048] ---[ end Kernel panic - not syncing: no working init found ]---\n"


@pytest.fixture(name="nobody")
def nobody_listens():
    """A port at which nobody answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


def test_a_host_whose_kernel_gives_up_is_not_waited_for(tmp_path: Path, nobody: int) -> None:
    console = tmp_path / "node-a/console.log"
    console.parent.mkdir()
    console.write_text("[    0.000] booting\n")

    def say(text: str) -> None:
        assert "node-a" in text
        with console.open("a") as log:
            log.write(PANIC)

    with pytest.raises(LabError, match="the kernel of node-a has given up"):
        waiting.wait_for_ssh(tmp_path, {"node-a": nobody}, {"node-a": MYSELF}, say)


def test_what_a_kernel_said_before_it_was_started_again_says_nothing(
    tmp_path: Path, nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "BOOT_TIMEOUT", 0.5)
    (tmp_path / "node-a").mkdir()
    (tmp_path / "node-a/console.log").write_text(PANIC)
    with pytest.raises(LabError, match="node-a does not answer"):
        waiting.wait_for_ssh(tmp_path, {"node-a": nobody}, {"node-a": MYSELF}, lambda text: None)
