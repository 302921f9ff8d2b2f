# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The test driver edu_dma (tests/kmod): each operation of the DMA API, with a device that does DMA; see test_drivers.yml."""

from __future__ import annotations

import shlex

import fabric
from testinfra.host import Host

FILES = "/sys/kernel/debug/edu_dma"
# The operations that have to work everywhere, and the number each takes.
OPERATIONS = {
    "streaming": 0,
    "sync": 0,
    "list": 0,
    "coherent": 16,
    "atomic": 0,
    "noncoherent": 0,
    "pool": 0,
    "low": 0,
    "many": 1000,
    "mask": 64,
}

# Maps the driver's coherent memory and says where its first page is; later says whether it is as it was.
HOLD = """
import ctypes, mmap, os, struct, sys
file = os.open("/dev/edu_dma", os.O_RDWR)
memory = mmap.mmap(file, 8192)
os.close(file)
assert memory[:] == bytes([0xa5]) * 8192
memory[4096:] = bytes([0x5a]) * 4096
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
with open("/proc/self/pagemap", "rb") as pages:
    pages.seek(address // 4096 * 8)
    frame = struct.unpack("<Q", pages.read(8))[0] & (1 << 55) - 1
with open("/run/edu-dma.frame", "w") as place:
    place.write(str(frame))
os.mkfifo("/run/edu-dma.go")
open("/run/edu-dma.go").read()
assert memory[:] == bytes([0xa5]) * 4096 + bytes([0x5a]) * 4096
"""
UNIT = "edu-dma-hold"
USERS = "import struct; f = open('/proc/kpagecount', 'rb'); f.seek({0} * 8); print(*struct.unpack('<Q', f.read(8)))"


def run(host: Host, operation: str, value: int) -> str:
    """Carry out an operation; '' or what went wrong, in the words of strerror(3)."""
    result = host.run(f"timeout 120 bash -c 'echo {value} >{FILES}/{operation}'")
    return "" if result.rc == 0 else result.stderr.strip().rpartition(": ")[2]


def hold(host: Host) -> int:
    """Let a process map the driver's coherent memory; the number of its first page frame."""
    fabric.output(host, "rm -f /run/edu-dma.*")
    fabric.output(host, f"systemd-run --unit={UNIT} python3 -c {shlex.quote(HOLD)}")

    def frame() -> str:
        return host.run("cat /run/edu-dma.frame").stdout.strip()

    return int(fabric.until(frame, 60, "the memory is mapped"))


def users(host: Host, frame: int) -> int:
    """How often a page frame is mapped."""
    return int(fabric.output(host, f"python3 -c {shlex.quote(USERS.format(frame))}"))


def release(host: Host) -> None:
    """Let the process look at its memory once more, and end; fails when the memory is not as it was."""
    fabric.output(host, "timeout 60 sh -c 'echo >/run/edu-dma.go'")
    state = f"systemctl show --property=Result --value {UNIT}"
    fabric.until(lambda: host.run(f"systemctl is-active {UNIT}").rc != 0, 60, "the process has ended")
    assert fabric.output(host, state) == "success", fabric.output(host, f"journalctl --no-pager -u {UNIT}")
