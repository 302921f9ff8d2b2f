# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Hold a page of this host's RAM, say where it physically is, and tell later whether anybody has written to it.

Runs on the hosts. `hold` leaves a process in the background; `look` asks it, `release` ends it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import sys
import time

STATE = "/run/held-page"
PATTERN = bytes(range(256)) * (mmap.PAGESIZE // 256)


def physical_address(address: int) -> int:
    """Where a resident page of this process is in physical memory."""
    with open("/proc/self/pagemap", "rb") as handle:
        handle.seek(address // mmap.PAGESIZE * 8)
        (entry,) = struct.unpack("<Q", handle.read(8))
    if not entry >> 63:
        sys.exit("the page is not in memory")
    return (entry & ((1 << 55) - 1)) * mmap.PAGESIZE


def hold() -> None:
    """Print the page's physical address and keep it in the background, writing down on request what is in it."""
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page[:] = PATTERN
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if ctypes.CDLL(None, use_errno=True).mlock(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE)):
        sys.exit(f"cannot lock the page: {os.strerror(ctypes.get_errno())}")
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        print(os.read(reader, 32).decode())
        with open(STATE, "w", encoding="ascii") as handle:
            handle.write(str(child))
        return
    os.setsid()
    # The fork left both processes one page, to be copied when written: make it this one's own.
    page[:] = PATTERN
    os.write(writer, hex(physical_address(address)).encode())
    for number in (0, 1, 2, reader, writer):
        os.close(number)

    def look(*_arguments: object) -> None:
        with open(STATE + ".partial", "w", encoding="ascii") as handle:
            handle.write("unchanged" if page[:] == PATTERN else "changed")
        os.rename(STATE + ".partial", STATE + ".seen")

    signal.signal(signal.SIGUSR1, look)
    while True:
        signal.pause()


def holder() -> int:
    """The process that holds the page."""
    with open(STATE, encoding="ascii") as handle:
        return int(handle.read())


def look() -> None:
    """Print `unchanged` or `changed`."""
    if os.path.exists(STATE + ".seen"):
        os.unlink(STATE + ".seen")
    os.kill(holder(), signal.SIGUSR1)
    for _attempt in range(300):
        if os.path.exists(STATE + ".seen"):
            with open(STATE + ".seen", encoding="ascii") as handle:
                print(handle.read())
            return
        time.sleep(0.1)
    sys.exit("the holder of the page does not answer")


def release() -> None:
    """End the process that holds the page."""
    os.kill(holder(), signal.SIGTERM)
    os.unlink(STATE)


if __name__ == "__main__":
    {"hold": hold, "look": look, "release": release}[sys.argv[1]]()
