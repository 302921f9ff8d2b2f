#!/usr/bin/env python
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A pattern on a drive whose every block says where it belongs. Runs on the hosts and in the tests."""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import struct
import sys
from collections.abc import Iterator

BLOCK = 1 << 20
BLOCKS = 128
BODY = hashlib.shake_128(b"pcie.device_lending").digest(BLOCK - 16)


def blocks(count: int = BLOCKS) -> Iterator[bytes]:
    """The blocks of the pattern in order; no two are the same."""
    for number in range(count):
        yield struct.pack(">QQ", number, ~number & 0xFFFFFFFFFFFFFFFF) + BODY


def checksum(count: int = BLOCKS) -> str:
    """The SHA-256 of the whole pattern."""
    total = hashlib.sha256()
    for block in blocks(count):
        total.update(block)
    return total.hexdigest()


def drive(serial: str) -> str:
    """The block device of the NVMe controller with a serial number."""
    for path in glob.glob("/sys/class/nvme/nvme*/serial"):
        with open(path, encoding="ascii") as handle:
            if handle.read().strip() != serial:
                continue
        controller = os.path.dirname(path)
        for name in sorted(os.listdir("/sys/block")):
            if name.startswith(os.path.basename(controller) + "n"):
                return "/dev/" + name
    sys.exit(f"no NVMe drive here has the serial number {serial}")


def main() -> None:
    """Write the pattern, or print the checksum of what is on the drive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("write", "sum"))
    parser.add_argument("--serial", required=True)
    arguments = parser.parse_args()
    path = drive(arguments.serial)
    if arguments.action == "write":
        with open(path, "r+b", buffering=0) as handle:
            for block in blocks():
                handle.write(block)
            os.fsync(handle.fileno())
    else:
        total = hashlib.sha256()
        with open(path, "rb", buffering=0) as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for number in range(BLOCKS):
                total.update(handle.read(BLOCK))
        print(total.hexdigest())


if __name__ == "__main__":
    main()
