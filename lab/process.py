# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Processes that outlive the command that started them: known by process id and start time, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it does not exist or is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def spawn(command: list[str], log: Path, cwd: Path, environment: dict[str, str] | None = None) -> dict[str, int]:
    """Start a process in a session of its own with its output in a log file; returns its identity."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
    return {"pid": process.pid, "start": start_time(process.pid) or 0}


def alive(identity: dict[str, int] | None) -> bool:
    """Whether exactly this process still runs."""
    if not identity:
        return False
    # A child of this very command must be reaped to be seen as dead.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(identity["pid"], os.WNOHANG)
    return start_time(identity["pid"]) == identity["start"]


def children(pid: int) -> list[int]:
    """Process ids of the direct children of a process's main thread."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def stop(identity: dict[str, int] | None, grace: float = 5.0) -> None:
    """End a process: SIGTERM, and after `grace` seconds SIGKILL. Does nothing if it is gone already.

    Its children get the signal first: unshare, which waits for the first process of a namespace, ignores SIGTERM.
    """
    if not identity:
        return
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, grace)):
        if not alive(identity):
            return
        for pid in [*children(identity["pid"]), identity["pid"]]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + wait
        while alive(identity) and time.monotonic() < deadline:
            time.sleep(0.02)


def cpu_seconds(identity: dict[str, int]) -> float:
    """Processor time that a process has used so far, and those of its children that it has waited for; 0 if it is gone."""
    if not alive(identity):
        return 0.0
    try:
        text = Path(f"/proc/{identity['pid']}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    ticks = sum(int(field) for field in text.rpartition(")")[2].split()[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def tail(path: Path, lines: int = 15) -> str:
    """The end of a log, indented for a message."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])
