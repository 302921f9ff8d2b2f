# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""That no interrupt of a borrowed device is lost and none gets stuck, whatever happens to doorbells."""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Iterator

import fabric
from testinfra.host import Host

# Reads and writes of 4 KiB that wait for each other: each needs its interrupt.
MOVE = """
set -eu
head -c {size} /dev/urandom >/run/moved
dd if=/run/moved of={disk} bs=4k oflag=direct conv=fsync status=none
echo 3 >/proc/sys/vm/drop_caches
dd if={disk} bs=4k count={blocks} iflag=direct status=none | cmp -n {size} /run/moved -
rm /run/moved
"""


def move_data(host: Host, address: str, disk: str, kib: int, limit: int = 120) -> int:
    """Write random data to a disk, compare what comes back; how many interrupts of its controller that took.

    Fails when data differs, and when it takes more than `limit` seconds, as it does when an interrupt gets stuck.
    """
    before = sum(fabric.interrupts(host, address).values())
    script = MOVE.format(disk=shlex.quote(disk), size=kib << 10, blocks=kib // 4)
    fabric.output(host, f"timeout {limit} sh -c {shlex.quote(script)}")
    return sum(fabric.interrupts(host, address).values()) - before


@contextlib.contextmanager
def doorbells_lost_and_doubled(lost: int = 2, doubled: int = 20, pause: float = 1.0) -> Iterator[None]:
    """As long as this lasts, every so often doorbells of the lab's bridge get lost and come twice."""
    over = threading.Event()
    errors: list[Exception] = []

    def disturb() -> None:
        try:
            while not over.wait(pause):
                fabric.lab("fault", "--doorbell-drop", str(lost))
                over.wait(pause)
                fabric.lab("fault", "--doorbell-duplicate", str(doubled))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        fabric.lab("fault", "--doorbell-drop", "0", "--doorbell-duplicate", "0")
    if errors:
        raise errors[0]
