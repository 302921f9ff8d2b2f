# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Let QEMU's educational device (1234:11e8) do DMA wherever one wants. Runs on the host that borrows it.

`edu.py DEVICE write ADDRESS` writes 64 octets of the device's buffer, which is zeros at first, to an address of the
device's bus; `read` fetches 64 octets from there into the buffer.
"""

from __future__ import annotations

import mmap
import os
import sys
import time

SOURCE, TARGET, COUNT, COMMAND = (register // 8 for register in (0x80, 0x88, 0x90, 0x98))
IDENTITY = 0x010000ED
START, TO_MEMORY = 1, 2
BUFFER = 0x40000
LENGTH = 64


def open_device(device: str) -> memoryview:
    """The registers of a function without a driver, as 64-bit words; it may access memory afterwards."""
    directory = f"/sys/bus/pci/devices/{device}"
    with open(f"{directory}/enable", "w", encoding="ascii") as handle:
        handle.write("1")
    with open(f"{directory}/config", "r+b", buffering=0) as handle:
        handle.seek(4)
        command = int.from_bytes(handle.read(2), "little")
        handle.seek(4)
        handle.write((command | 6).to_bytes(2, "little"))
    descriptor = os.open(f"{directory}/resource0", os.O_RDWR | os.O_SYNC)
    words = memoryview(mmap.mmap(descriptor, 1 << 20))
    if words.cast("I")[0] != IDENTITY:
        sys.exit(f"{device} is no such device")
    return words.cast("Q")


def move(registers: memoryview, source: int, target: int, command: int) -> None:
    """Carry out one transfer and wait for its end."""
    registers[SOURCE] = source
    registers[TARGET] = target
    registers[COUNT] = LENGTH
    registers[COMMAND] = START | command
    for _attempt in range(600):
        if not registers[COMMAND] & START:
            return
        time.sleep(0.05)
    sys.exit("the device does not come to an end")


def main() -> None:
    """Do one transfer between the device's own buffer and an address."""
    device, action, address = sys.argv[1], sys.argv[2], int(sys.argv[3], 0)
    registers = open_device(device)
    if action == "read":
        move(registers, address, BUFFER, 0)
    else:
        move(registers, BUFFER, address, TO_MEMORY)


if __name__ == "__main__":
    main()
