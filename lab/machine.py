# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One QEMU: starting it, saving it, going on from a saved state, and plugging devices into it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import process, qemu, qmp
from .errors import LabError

WAIT = 120.0  # seconds for what takes one or two
PLUG_WAIT = 600.0  # a bridge with fast windows waits for the machine at its other end
# Only pages that are not zero are written, each where it lies in RAM: quick to write and to read.
CAPABILITIES = [{"capability": "mapped-ram", "state": True}]


def make_disk(programs: qemu.Qemu, disk: Path, base: Path) -> None:
    """Make the disk of a machine: what it changes of a base disk (raw, or changes of another one)."""
    kind = "qcow2" if base.suffix == ".qcow2" else "raw"
    command = [*programs.img, "create", "-q", "-f", "qcow2", "-F", kind, "-b", str(base), str(disk)]
    subprocess.run(command, check=True, env=qemu.environment(programs))


def start(programs: qemu.Qemu, args: list[str], directory: Path, name: str) -> dict[str, int]:
    """Start a machine; its files are in `directory`/`name`. Returns the identity of its process."""
    log = directory / name / "qemu.log"
    command = [*programs.system, *args]
    log.write_text(" ".join(command) + "\n", encoding="utf-8")
    (directory / name / "qmp.sock").unlink(missing_ok=True)
    return process.spawn(command, log, directory, qemu.environment(programs))


def resume(programs: qemu.Qemu, args: list[str], directory: Path, name: str, saved: Path) -> dict[str, int]:
    """Start a machine that goes on from a saved state, made with arguments of the same shape. Raises LabError."""
    identity = start(programs, [*args, "-incoming", "defer"], directory, name)
    try:
        deadline = time.monotonic() + WAIT
        with _first_session(identity, deadline, directory / name) as monitor:
            monitor.execute("migrate-set-capabilities", capabilities=CAPABILITIES)
            monitor.execute("migrate-incoming", uri=f"file:{saved}")
            while monitor.execute("query-status")["status"] == "inmigrate":
                _check(identity, deadline, directory / name, f"does not go on from {saved}")
                time.sleep(0.02)
            monitor.execute("cont")
    except BaseException:
        process.stop(identity)
        raise
    return identity


@contextlib.contextmanager
def _first_session(identity: dict[str, int], deadline: float, directory: Path) -> Iterator[qmp.Session]:
    """A session with a QEMU that is starting. Raises LabError."""
    with contextlib.ExitStack() as stack:
        while True:
            _check(identity, deadline, directory, "did not start")
            # Its socket is there a moment before it listens.
            with contextlib.suppress(LabError):
                session = stack.enter_context(qmp.session(directory / "qmp.sock", WAIT))
                break
            time.sleep(0.02)
        yield session


def save(socket: Path, saved: Path) -> None:
    """Stop a machine and write its state into a file. Raises LabError."""
    with qmp.session(socket, WAIT) as monitor:
        monitor.execute("stop")
        monitor.execute("migrate-set-capabilities", capabilities=CAPABILITIES)
        monitor.execute("migrate", uri=f"file:{saved}")
        deadline = time.monotonic() + WAIT
        while (status := monitor.execute("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise LabError(f"QEMU could not save a machine: {monitor.execute('query-migrate')}")
            time.sleep(0.02)


def plug(socket: Path, devices: list[str]) -> None:
    """Plug in devices, given as the value of QEMU's option -device, one after the other. Raises LabError."""
    with qmp.session(socket, PLUG_WAIT) as monitor:
        for device in devices:
            if device.startswith("{"):
                properties: dict[str, Any] = json.loads(device)
                monitor.execute("device_add", **properties)
            else:
                monitor.monitor(f"device_add {device}")


def _check(identity: dict[str, int], deadline: float, directory: Path, what: str) -> None:
    if not process.alive(identity) or time.monotonic() > deadline:
        log = directory / "qemu.log"
        raise LabError(f"{directory.name} {what}; {log} ends with:\n{process.tail(log)}")
