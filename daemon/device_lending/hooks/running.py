# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Running one hook: with the event, for so long and no longer, and with all that it has started."""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Octets of a hook's output that are kept.
OUTPUT_MAX = 8192
# Seconds that what is killed may take to be gone.
_END = 5.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Outcome:
    """How it went: "" for well, and the lines that it wrote."""

    problem: str
    lines: list[str]


def adopt_orphans() -> None:
    """Have whatever a hook starts become a child of this process once its own parent is gone. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def environment(event: dict[str, Any]) -> dict[str, str]:
    """What a hook finds in its environment: the event's values, those of lists parted by spaces. Pure."""
    found = {"PATH": _PATH, "LANG": "C.UTF-8"}
    for key, value in event.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
        found[f"DEVICE_LENDING_{key.upper()}"] = text.replace("\0", "")
    return found


def run(hook: Path, event: dict[str, Any], limit: float) -> Outcome:
    """Run it for `limit` seconds at most, with the event on its standard input, and end all that it leaves.

    To be called where it and its like are the only children of this process.
    """
    with tempfile.TemporaryFile() as text:  # which a hook that does not read cannot block
        text.write(json.dumps(event).encode() + b"\n")
        text.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - hooks are root's own
                [hook],
                stdin=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment(event),
                start_new_session=True,
            )
        except OSError as error:
            return Outcome(f"cannot be run: {error.strerror or error}", [])
    assert process.stdout is not None
    with process.stdout as pipe:
        output = _Output(pipe.fileno())
        is_over = _attend(process, output, limit)
        process.kill()
        left = _end_all(process)
        output.read()
    if left:
        problem = f"cannot be ended: the kernel still has its processes {left}"
    elif not is_over:
        problem = f"was ended after {limit:g} s"
    else:
        problem = _ended(process.returncode)
    return Outcome(problem, output.lines())


def _ended(status: int) -> str:
    if status < 0:
        return f"was ended by signal {-status}"
    return f"ended with status {status}" if status else ""


class _Output:
    """What a hook writes into a pipe: the beginning of it, and how much there was."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self._kept = bytearray()
        self._count = 0
        os.set_blocking(pipe, False)

    def read(self) -> bool:
        """Take what is there; False when no more will come."""
        try:
            chunk = os.read(self.pipe, 65536)
        except BlockingIOError:
            return True
        self._kept += chunk[: OUTPUT_MAX - len(self._kept)]
        self._count += len(chunk)
        return bool(chunk)

    def lines(self) -> list[str]:
        """The lines that are kept, and that there were more, if so."""
        left = self._count - len(self._kept)
        more = [f"... and {left} octets more"] if left else []
        return self._kept.decode("utf-8", "replace").splitlines() + more


def _attend(process: subprocess.Popen[bytes], output: _Output, limit: float) -> bool:
    """Read what it writes until it has ended, or its time is over; whether it has ended."""
    end = time.monotonic() + limit
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(output.pipe, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while (left := end - time.monotonic()) > 0:
                ready = {key.fd for key, _events in selector.select(left)}
                if ended in ready:
                    process.wait()
                    return True
                if output.pipe in ready and not output.read():
                    selector.unregister(output.pipe)
            return False
    finally:
        os.close(ended)


def _end_all(process: subprocess.Popen[bytes]) -> list[int]:
    """Kill the children of this process and theirs; those that are still there after a while."""
    end = time.monotonic() + _END
    while True:
        process.poll()
        children = _children()
        if not children or time.monotonic() >= end:
            return children
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
                if child != process.pid:
                    os.waitpid(child, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                pass
        time.sleep(0.01)


def _children(proc: Path = Path("/proc")) -> list[int]:
    """The processes whose parent is this one."""
    found = []
    for path in proc.glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if len(fields) > 1 and int(fields[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found
