# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""That no interrupt of a borrowed device is lost and none gets stuck, whatever happens to doorbells and processors."""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Iterable, Iterator

import fabric
from testinfra.host import Host

# Reads and writes of 4 KiB that wait for each other: each needs its interrupt.
MOVE = """
set -eu
moved=$(mktemp /run/moved.XXXXXX)
head -c {size} /dev/urandom >"$moved"
dd if="$moved" of={disk} bs=4k oflag=direct conv=fsync status=none
echo 3 >/proc/sys/vm/drop_caches
dd if={disk} bs=4k count={blocks} iflag=direct status=none | cmp -n {size} "$moved" -
rm "$moved"
"""


def move_data(host: Host, address: str, disk: str, kib: int, limit: int = 120) -> int:
    """Write random data to a disk, compare what comes back; how many interrupts of its controller that took.

    Fails when data differs, and when it takes more than `limit` seconds, as it does when an interrupt gets stuck.
    """
    before = sum(fabric.interrupts(host, address).values())
    script = MOVE.format(disk=shlex.quote(disk), size=kib << 10, blocks=kib // 4)
    fabric.output(host, f"timeout {limit} sh -c {shlex.quote(script)}")
    return sum(fabric.interrupts(host, address).values()) - before


def per_processor(host: Host, address: str) -> dict[int, list[int]]:
    """How many of each interrupt of a function each processor took: by number."""
    lines = fabric.output(host, "cat /proc/interrupts").splitlines()
    processors = len(lines[0].split())
    numbers = fabric.interrupts(host, address)
    rows = (line.split() for line in lines[1:])
    counts = {row[0].rstrip(":"): row[1 : processors + 1] for row in rows}
    return {int(number): [int(count) for count in counts[number]] for number in numbers}


def direct(host: Host, numbers: Iterable[int | str], processor: int) -> None:
    """Have some interrupts taken by a processor."""
    files = " ".join(f"/proc/irq/{number}/smp_affinity_list" for number in numbers)
    fabric.output(host, f"echo {processor} | tee {files}")


@contextlib.contextmanager
def without_processor(host: Host, processor: int) -> Iterator[None]:
    """As long as this lasts, a host lacks one of its processors."""
    switch = f"/sys/devices/system/cpu/cpu{processor}/online"
    fabric.output(host, f"echo 0 >{switch}")
    try:
        yield
    finally:
        fabric.output(host, f"echo 1 >{switch}")


@contextlib.contextmanager
def doorbells_lost_and_doubled(
    lost: int = 2, doubled: int = 20, pause: float = 1.0, link: str | None = None
) -> Iterator[None]:
    """As long as this lasts, every so often doorbells of a bridge of the lab get lost and come twice.

    Where there are several bridges `link` says which.
    """
    which = ("--link", link) if link else ()
    over = threading.Event()
    errors: list[Exception] = []

    def disturb() -> None:
        try:
            while not over.wait(pause):
                fabric.lab("fault", *which, "--doorbell-drop", str(lost))
                over.wait(pause)
                fabric.lab("fault", *which, "--doorbell-duplicate", str(doubled))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        fabric.lab("fault", *which, "--doorbell-drop", "0", "--doorbell-duplicate", "0")
    if errors:
        raise errors[0]
