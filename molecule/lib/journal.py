# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which blocks a borrowed drive has acknowledged: kept here, so that it is known whatever happens to a host."""

from __future__ import annotations

import subprocess
import threading
import time

import blocks
import fabric
from testinfra.host import Host

# A host that is gone is missed after a quarter of a minute, one that sleeps for a few seconds is not.
ALIVE = [f"-o{option}" for option in ("ControlPath=none", "ServerAliveInterval=2", "ServerAliveCountMax=8")]
SSH = ["ssh", "-F", str(fabric.STATE / "ssh_config"), *ALIVE]
PROGRAM = "python3 /root/blocks.py"


class Journal:
    """What was acknowledged, over all writers: only one writes at a time."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # by place
        self._next = 1
        self._changed = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, host: str, node: str) -> None:
        """Begin to write; returns when some blocks are acknowledged."""
        assert not self.writes
        # What was under way when the last writer ended may have arrived or not: its place is looked at no more.
        self._last.pop(self._next % blocks.COUNT, None)
        first = self._next + 1
        self._process = subprocess.Popen(
            [*SSH, host, f"exec {PROGRAM} write {node} {first}"], stdout=subprocess.PIPE, text=True
        )
        self._next = first
        self._reader = threading.Thread(target=self._follow, args=(self._process,))
        self._reader.start()
        fabric.until(lambda: self._next > first + 8 or not self.writes, 60, "blocks are written")
        assert self.writes, "the writer has ended at once"

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            number = int(line)
            self._last[number % blocks.COUNT] = number
            self._next = number + 1
            self._changed = time.monotonic()

    @property
    def writes(self) -> bool:
        """Whether the writer runs, as far as it is known here."""
        return self._process is not None and self._process.poll() is None

    @property
    def acknowledged(self) -> int:
        """The number of the last block that was."""
        return self._next - 1

    @property
    def changed(self) -> float:
        """When that was, by the monotonic clock."""
        return self._changed

    def goes_on(self, seconds: float) -> float:
        """Wait until blocks are acknowledged that are written from now on; how long that took, in seconds."""
        begin, first = time.monotonic(), self.acknowledged
        fabric.until(lambda: self.acknowledged > first + 8 or not self.writes, seconds, "writing goes on")
        assert self.writes, "the writer has met an error"
        return time.monotonic() - begin

    def stop(self) -> None:
        """End the writer, if it has not ended by itself."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        if self._reader is not None:
            self._reader.join(30)
        self._process = self._reader = None

    def wrong(self, host: Host, node: str) -> dict[int, tuple[int, int]]:
        """What was acknowledged, and is not there: by place, what should be and what is.

        A later block in its place is no loss: a writer that is ended here goes on for a moment there.
        """
        assert not self.writes
        is_there = [int(line) for line in fabric.output(host, f"{PROGRAM} read {node}").split()]
        under_way = self._next % blocks.COUNT
        return {
            place: (number, is_there[place])
            for place, number in sorted(self._last.items())
            if is_there[place] < number and place != under_way
        }
