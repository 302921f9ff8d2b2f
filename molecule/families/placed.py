# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Read a block device into pages of RAM that physically are where the caller says.

Runs on the hosts: NODE COUNT LOW HIGH. Reads COUNT pages of the device, from its start, each into a page between the
addresses LOW and HIGH, and prints the checksum of what came.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import re
import struct
import sys

PAGE = mmap.PAGESIZE
PRESENT = 1 << 63
FRAME = (1 << 55) - 1


def available() -> int:
    """Octets of RAM that could be had."""
    with open("/proc/meminfo", encoding="ascii") as handle:
        return int(re.search(r"MemAvailable: *(\d+) kB", handle.read())[1]) << 10


def frames(memory: mmap.mmap, size: int) -> list[int]:
    """Where each page of this memory is."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    with open("/proc/self/pagemap", "rb") as handle:
        handle.seek(address // PAGE * 8)
        entries = struct.unpack(f"<{size // PAGE}Q", handle.read(size // PAGE * 8))
    return [(entry & FRAME) * PAGE if entry & PRESENT else -1 for entry in entries]


def main() -> None:
    """Take most of the RAM there is, and use what lies in the right place."""
    node, count, low, high = sys.argv[1], *map(int, sys.argv[2:])
    size = available() * 3 // 4 // PAGE * PAGE
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = memoryview(memory)
    for start in range(0, size, PAGE):
        view[start] = 1
    pages = [number for number, address in enumerate(frames(memory, size)) if low <= address <= high - PAGE][:count]
    if len(pages) < count:
        sys.exit(f"only {len(pages)} of {size // PAGE} pages lie between {low:#x} and {high:#x}")
    checksum = hashlib.sha256()
    device = os.open(node, os.O_RDONLY | os.O_DIRECT)
    for index, number in enumerate(pages):
        page = view[number * PAGE : (number + 1) * PAGE]
        if os.preadv(device, [page], index * PAGE) != PAGE:
            sys.exit("the device ends too early")
        checksum.update(page)
    print(checksum.hexdigest())


main()
