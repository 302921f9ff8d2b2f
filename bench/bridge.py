# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bridge alone costs, and how often an access to a borrowed drive needs it."""

from __future__ import annotations

import re
import time
from typing import Any

from lab.instance import Instance

from . import drives, modules
from .drives import Drive
from .hosts import BenchError, Host
from .jobs import Job

ROUNDS_FILE = "/sys/module/lend_bell/parameters/rounds"


def doorbell_us(first: Host, second: Host, rounds: int, seconds: float) -> list[float]:
    """Time of a doorbell there and back, in us, by rounds. Neither host has its bridge's driver loaded."""
    modules.load_bell(second, start=False)
    modules.load_bell(first, start=True)
    count = f'python3 -c \'import time; f = open("{ROUNDS_FILE}"); a = (int(f.read()), time.monotonic()); '
    count += f"time.sleep({seconds}); f.seek(0); b = (int(f.read()), time.monotonic()); "
    count += "print((b[1] - a[1]) * 1e6 / max(b[0] - a[0], 1), b[0] - a[0])'"
    try:
        for _try in range(60):
            if int(first.run(f"cat {ROUNDS_FILE}")) > 10:
                break
            time.sleep(0.5)
        answer = []
        for _round in range(rounds):
            took, number = first.run(count).split()
            if int(number) < 10:
                raise BenchError(f"the doorbell between {first.name} and {second.name} came back {number} times only")
            answer.append(float(took))
        return answer
    finally:
        modules.unload_bell(first)
        modules.unload_bell(second)


def redirect(owner: Host, borrower: Host, serial: str, ntb: str) -> str:
    """Let the DMA of one of the owner's own drives go into the borrower's memory; returns the block device."""
    ((place, size),) = borrower.measure("page", 10)
    address = drives.address_of(owner, serial)
    owner.run(f"echo {address} > /sys/bus/pci/drivers/nvme/unbind")
    owner.measure("redirect", address, ntb, 4, int(place), int(size), "all")
    owner.run(f"echo {address} > /sys/bus/pci/drivers/nvme/bind")
    for _try in range(50):
        try:
            device = drives.by_serial(owner, serial)
        except BenchError:
            time.sleep(0.2)
            continue
        owner.run("udevadm settle")
        owner.measure("divert")
        return device
    raise BenchError(f"{owner.name}: the drive {serial} does not work with its DMA going into the window")


def _count(instance: Instance, link: str) -> dict[str, int]:
    """What went through a bridge so far: accesses of the owner's and of the borrower's side, and interrupts."""
    owner, borrower = instance.control(link, {"command": "counters"})["sides"]
    return {
        "owner_writes": sum(window["writes"] for window in owner["windows"]),
        "owner_reads": sum(window["reads"] for window in owner["windows"]),
        "borrower_writes": sum(window["writes"] for window in borrower["windows"]),
        "borrower_reads": sum(window["reads"] for window in borrower["windows"]),
        "doorbells": sum(owner["doorbells"]) + sum(borrower["doorbells"]),
    }


def per_io(instance: Instance, link: str, owner: Host, drive: Drive, job: Job) -> dict[str, Any]:
    """What one access to a borrowed drive needs: accesses over the bridge, and requests that the owner serves."""
    served, before = _served(owner), _count(instance, link)
    result = drives.run(drive, (job,), 1.0)[job.name]
    after = _count(instance, link)
    answer: dict[str, Any] = {key: (after[key] - before[key]) / result.ios for key in before}
    return answer | {"ios": result.ios, "owner_requests_served": _served(owner) - served}


def _served(owner: Host) -> int:
    """Requests of all borrowers that this host's kernel has served."""
    return sum(int(number) for number in re.findall(r'"(?:served|rejected)": (\d+)', owner.run("devlend --json links")))
