# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process and all that it has started, so that nothing of it is left when it has to end."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lab.process import start_time


class Family:
    """A process and what it has started, also what has gone into sessions of its own, as Ansible's workers do."""

    def __init__(self, pid: int) -> None:
        self._session = pid
        self._known: dict[int, int] = {pid: start_time(pid) or 0}

    def alive(self) -> list[int]:
        """The process ids of those that run, found anew each time."""
        table = dict(_processes())
        found = True
        while found:
            found = False
            running = self._running()
            for pid, (parent, session) in table.items():
                if pid not in running and (parent in running or session == self._session):
                    started = start_time(pid)
                    if started is not None:
                        self._known[pid] = started
                        found = True
        return self._running()

    def _running(self) -> list[int]:
        return [pid for pid, started in self._known.items() if start_time(pid) == started]


def _processes() -> list[tuple[int, tuple[int, int]]]:
    """Each process's id, its parent's and its session's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            found.append((int(path.parent.name), (int(fields[1]), int(fields[3]))))
    return found
