# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Carry something out again and again, each time with a later one of its allocations of memory failing.

Runs on the hosts, whose kernel has fault injection (fail-nth of Documentation/fault-injection/fault-injection.rst). Ends
with the first turn in which nothing had to fail any more, and prints JSON: `turns`, and how often each error was met.
Exits with another status than 0 if a turn has left something behind.

    attach            the borrowed device that has no driver, for a driver that there is not
    lend              a lent device, whose lease is ended for that
    write FILE TEXT   a text into a file
"""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, "/opt/device-lending/current")
from device_lending.kernel import KernelError
from device_lending.netlink.port import NetlinkKernel

DEBUG = Path("/sys/kernel/debug")
MOST = 3000
NOT_DONE = "ENOMEM"
# No driver is called that: those that there are have hundreds of allocations of their own.
NOBODY = "nobody"


def prepare() -> None:
    """Let allocations fail that may wait, too, but those of processes' own memory."""
    for name in ("failslab", "fail_page_alloc"):
        (DEBUG / name / "ignore-gfp-wait").write_text("N")
        (DEBUG / name / "verbose").write_text("0")
    (DEBUG / "fail_page_alloc/min-order").write_text("0")


def failing(number: int, what: Callable[[], object]) -> tuple[bool, str]:
    """Carry it out; whether that allocation was reached, and what went wrong."""
    said = ""
    handle = os.open(f"/proc/self/task/{threading.get_native_id()}/fail-nth", os.O_RDWR)
    try:
        os.write(handle, str(number).encode())
        try:
            what()
        except (KernelError, OSError) as error:
            said = errno.errorcode.get(error.errno or 0, type(error).__name__)
        left = int(os.pread(handle, 20, 0).strip(b"\n\0") or b"0")
        os.pwrite(handle, b"0", 0)
    finally:
        os.close(handle)
    return left == 0, said


def turns(what: Callable[[], object], undo: Callable[[], bool]) -> None:
    """Until nothing fails any more. `undo` says whether there was anything to undo."""
    errors: collections.Counter[str] = collections.Counter()
    for number in range(1, MOST):
        reached, said = failing(number, what)
        if undo() and said == NOT_DONE:
            sys.exit(f"turn {number} has failed, and yet is done")
        if not reached:
            print(json.dumps({"turns": number - 1, "errors": errors}))
            return
        errors[said or "none"] += 1
    sys.exit(f"after {MOST} turns something still fails")


def attach() -> None:
    """Detach the device, and attach it again and again."""
    kernel = NetlinkKernel()
    borrowed = kernel.borrowed()
    (there,) = (one for one in borrowed if not os.path.exists(f"/sys/bus/pci/devices/{one.address}/driver"))
    others = {device.id for device in borrowed} - {there.id}
    kernel.detach(there.id, there.epoch)

    def undo() -> bool:
        found = [device.id for device in kernel.borrowed() if device.id not in others]
        for number in found:
            kernel.detach(number, there.epoch)
        return bool(found)

    turns(lambda: kernel.attach(there.link, there.remote_id, there.epoch, NOBODY), undo)
    kernel.attach(there.link, there.remote_id, there.epoch)


def lend() -> None:
    """End the lease, and lend the device again and again."""
    kernel = NetlinkKernel()
    there = kernel.lent()[0]
    (link,) = kernel.links()
    epoch = there.epoch

    def begin() -> None:
        nonlocal epoch
        epoch += 1
        kernel.lend(there.address, link.id, epoch)

    def undo() -> bool:
        (now,) = (device for device in kernel.lent() if device.address == there.address)
        if now.leased:
            kernel.unlend(now.address, now.epoch, True)
        return now.leased

    undo()
    turns(begin, undo)


def write(file: str, text: str) -> None:
    """Write it again and again."""
    handle = os.open(file, os.O_WRONLY)
    turns(lambda: os.pwrite(handle, text.encode(), 0), lambda: False)


@contextlib.contextmanager
def in_place() -> Iterator[None]:
    """Have the module do in the task that asks, which is the one that fails, what else a work item does."""
    parameter = Path("/sys/module/ntb_lend/parameters/jobs_in_place")
    parameter.write_text("Y")
    try:
        yield
    finally:
        parameter.write_text("N")


if __name__ == "__main__":
    prepare()
    with in_place():
        {"attach": attach, "lend": lend, "write": write}[sys.argv[1]](*sys.argv[2:])
