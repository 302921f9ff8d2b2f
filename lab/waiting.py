# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Waiting until hosts can be used."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from . import access, process
from .errors import LabError

BOOT_TIMEOUT = 900.0
REMINDER = 20.0
PANIC = b"Kernel panic - not syncing"


def why(directory: Path, name: str) -> str:
    """Where to look, and what is there, when a host or a bridge ("link NAME") does not work."""
    if name.startswith("link "):
        logs = [directory / "links" / f"{name.removeprefix('link ')}.log"]
    else:
        logs = [directory / name / log for log in ("sshd.log", "qemu.log", "console.log")]
    return "\n".join(f"{log} ends with:\n{process.tail(log)}" for log in logs if log.exists())


def check_alive(directory: Path, processes: dict[str, dict[str, int]]) -> None:
    """Raise LabError with the end of its log if one of these processes has died."""
    for name, identity in processes.items():
        if not process.alive(identity):
            raise LabError(f"{name} has died; {why(directory, name)}")


def _panicked(console: Path, begin: int) -> bool:
    """Whether a kernel has given up since its console had this many octets."""
    if not console.exists():
        return False
    with console.open("rb") as file:
        file.seek(begin)
        return PANIC in file.read()


def wait_for_ssh(
    directory: Path, ports: dict[str, int], processes: dict[str, dict[str, int]], progress: Callable[[str], None]
) -> None:
    """Wait until the hosts at these ports answer.

    Raises LabError if one does not or its kernel gives up, or if a process dies meanwhile.
    """
    waiting = dict(ports)
    consoles = {name: directory / name / "console.log" for name in waiting}
    said = {name: log.stat().st_size if log.exists() else 0 for name, log in consoles.items()}
    progress(f"waiting for ssh on {', '.join(waiting)}")
    begin = reminded = time.monotonic()
    while waiting:
        for name, port in list(waiting.items()):
            check_alive(directory, processes)
            if access.answers(directory, name, port):
                del waiting[name]
                progress(f"{name} answers")
            elif _panicked(consoles[name], said[name]):
                raise LabError(f"the kernel of {name} has given up; {why(directory, name)}")
        now = time.monotonic()
        if waiting and now > begin + BOOT_TIMEOUT:
            name = next(iter(waiting))
            raise LabError(f"{name} does not answer after {BOOT_TIMEOUT:.0f} s; {why(directory, name)}")
        if waiting and now > reminded + REMINDER:
            reminded = now
            progress(f"still waiting for {', '.join(waiting)} (what they say: {directory}/HOST/console.log)")
        time.sleep(0.2)
