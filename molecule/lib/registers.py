# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Keep the registers of a function mapped, whatever becomes of it. Runs on the hosts.

`keep DEVICE OFFSET` maps BAR 0 and prints the 32-bit word at an offset, in hexadecimal, for each line that it reads.
"""

from __future__ import annotations

import mmap
import os
import sys


def main() -> None:
    """Do what the words say."""
    device, offset = sys.argv[2], int(sys.argv[3], 0)
    handle = os.open(f"/sys/bus/pci/devices/{device}/resource0", os.O_RDWR | os.O_SYNC)
    words = memoryview(mmap.mmap(handle, mmap.PAGESIZE)).cast("B").cast("I")
    print("mapped", flush=True)
    for _line in sys.stdin:
        print(f"{words[offset // 4]:#x}", flush=True)


if __name__ == "__main__":
    main()
