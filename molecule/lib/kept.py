# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Use registers of QEMU's educational device (1234:11e8), also when its lease is over. Runs on the hosts, beside edu.py.

`keep DEVICE` maps them and stays; `use` has that process read the identity and write VALUE into the register that holds the
inverse of what is written, and prints both as it reads them; `set DEVICE VALUE` and `get DEVICE` are for the owner.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import edu

PROCESS = "/run/kept-registers.pid"
ANSWER = "/run/kept-registers"
IDENTITY, INVERSE = 0, 1
VALUE = 0x12345678


def registers(device: str) -> memoryview:
    """Its registers as 32-bit words."""
    return edu.open_device(device).cast("B").cast("I")


def hide() -> None:
    """Close the files of registers, which Python keeps for its mappings: who looks for open files sees no use of them."""
    for name in os.listdir("/proc/self/fd"):
        if os.path.basename(os.path.realpath(f"/proc/self/fd/{name}")).startswith("resource"):
            os.close(int(name))


def keep(device: str) -> None:
    """Map the registers and use them when asked to, and let nobody see that."""
    words = registers(device)
    hide()

    def use(_number: int, _frame: object) -> None:
        found = words[IDENTITY]
        words[INVERSE] = VALUE
        with open(f"{ANSWER}.new", "w", encoding="ascii") as handle:
            handle.write(f"{found:#x} {words[INVERSE]:#x}")
        os.rename(f"{ANSWER}.new", ANSWER)

    signal.signal(signal.SIGUSR1, use)
    with open(PROCESS, "w", encoding="ascii") as handle:
        handle.write(str(os.getpid()))
    while True:
        signal.pause()


def ask() -> str:
    """What the process that keeps them has read."""
    if os.path.exists(ANSWER):
        os.unlink(ANSWER)
    with open(PROCESS, encoding="ascii") as handle:
        os.kill(int(handle.read()), signal.SIGUSR1)
    for _attempt in range(600):
        if os.path.exists(ANSWER):
            with open(ANSWER, encoding="ascii") as handle:
                return handle.read()
        time.sleep(0.05)
    sys.exit("the process that keeps the registers does not answer")


def main() -> None:
    """Do what the words say."""
    action, *words = sys.argv[1:]
    if action == "keep":
        keep(words[0])
    elif action == "use":
        print(ask())
    elif action == "set":
        registers(words[0])[INVERSE] = int(words[1], 0)
    else:
        print(f"{registers(words[0])[INVERSE]:#x}")


if __name__ == "__main__":
    main()
