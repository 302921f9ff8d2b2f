# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that end when the demo is told to end, with all that they have started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from tools.family import Family

from . import signals

POLL = 0.2
# Seconds for a command to clean up after itself, until what it has started is asked to end, too, and until nobody can
# have been left by force.
GRACE = 20.0
PATIENCE = 5.0
FORCE = 5.0


class Ended(NamedTuple):
    """How a command ended, and what it has printed."""

    status: int
    out: str
    err: str


def run(
    *words: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: str = "",
    seen: Callable[[str], None] = lambda line: None,
    tick: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a command in a session of its own; `seen` gets each line as it comes, `tick` is called in between.

    Raises Interrupted when a signal comes. The command and what it has started have ended then, as after any exception.
    """
    with tempfile.TemporaryFile() as given:
        given.write(stdin.encode())
        given.seek(0)
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=env,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    try:
        return _follow(process, seen, tick)
    except BaseException:
        end(process)
        raise
    finally:
        for pipe in _pipes(process):
            pipe.close()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdout is not None and process.stderr is not None
    return process.stdout, process.stderr


def _read(fd: int) -> bytes | None:
    """What there is to read now: nothing at the end, None if there is nothing yet."""
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None


def _follow(process: subprocess.Popen[bytes], seen: Callable[[str], None], tick: Callable[[], None]) -> Ended:
    printed = {pipe.fileno(): b"" for pipe in _pipes(process)}
    told = dict.fromkeys(printed, 0)
    with selectors.DefaultSelector() as selector:
        for fd in printed:
            selector.register(fd, selectors.EVENT_READ)
        while True:
            signals.check()
            # Asked before the last look at what it has printed. Something it has started may hold the pipes for longer.
            ended = process.poll() is not None
            ready = selector.select(0 if ended else POLL if selector.get_map() else 0.01)
            for key, _events in ready:
                data = _read(key.fd)
                if data == b"":
                    selector.unregister(key.fd)
                printed[key.fd] += data or b""
                whole = printed[key.fd].rfind(b"\n") + 1
                for line in printed[key.fd][told[key.fd] : whole].decode(errors="replace").splitlines():
                    seen(line)
                told[key.fd] = max(whole, told[key.fd])
            if ended and not ready:
                break
            tick()
    out, err = (text.decode(errors="replace") for text in printed.values())
    return Ended(process.returncode, out, err)


def end(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """End a command as Ctrl-C does, then what it has started, and after `grace` seconds by force what is left of them."""
    family = Family(process.pid)
    family.alive()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    began, asked = time.monotonic(), False
    deadline = began + grace
    while (left := family.alive()) and time.monotonic() < deadline:
        if not asked and time.monotonic() > began + PATIENCE:
            # dpkg does not end when Ctrl-C ends a child of it, and what runs in the background of a shell ignores it.
            _kill([pid for pid in left if pid != process.pid], signal.SIGTERM)
            asked = True
        if process.poll() is not None:
            deadline = min(deadline, time.monotonic() + 2 * PATIENCE)
        # Who cleans up must be able to say so.
        for pipe in _pipes(process):
            _read(pipe.fileno())
        time.sleep(0.1)
    deadline = time.monotonic() + FORCE
    while (left := family.alive()) and time.monotonic() < deadline:
        _kill(left, signal.SIGKILL)
        time.sleep(0.1)
    process.poll()


def _kill(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
