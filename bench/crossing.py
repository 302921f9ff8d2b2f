# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose processor time an access to the borrowed drive takes: the hosts', QEMU's beside it, and the emulated bridge's."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from lab.instance import Instance

from . import drives
from .drives import Drive
from .hosts import Host, cpu_ns
from .jobs import Job

# Seconds before the time that counts, in which fio starts, and after it.
BEFORE, AFTER = 1.5, 0.5
EMULATOR = "the emulated bridge (Python)"


def process_ns(pid: int) -> int:
    """Processor time that a process has had with all its threads, those that have ended as well, in ns."""
    # The clock of another process, as clock_getcpuclockid(3) makes it: CPUCLOCK_SCHED.
    return time.clock_gettime_ns(~pid << 3 | 2)


class Parts:
    """The processes that an access goes through, and what of them are processors of the hosts."""

    def __init__(self, instance: Instance, owner: Host, borrower: Host) -> None:
        pids = {name: int(identity["pid"]) for name, identity in instance.data["processes"].items()}
        (link,) = (one for one in instance.topology.links if {one.primary, one.secondary} == {owner.name, borrower.name})
        self._emulator = pids[f"link {link.name}"]
        self._machines = {
            "the owner's": (pids[owner.name], owner.cpu_threads()),
            "the borrower's": (pids[borrower.name], borrower.cpu_threads()),
        }

    def used(self) -> dict[str, int]:
        """Processor time so far, in ns, by part."""
        found = {EMULATOR: process_ns(self._emulator)}
        for whose, (pid, threads) in self._machines.items():
            guest = cpu_ns(threads)
            found[f"{whose} processors"] = guest
            found[f"QEMU beside {whose} processors"] = process_ns(pid) - guest
        return found


def _during(parts: Parts, seconds: float) -> dict[str, float]:
    """How many processors each part keeps busy in the next seconds."""
    begin, before = time.monotonic_ns(), parts.used()
    time.sleep(seconds)
    end, after = time.monotonic_ns(), parts.used()
    return {name: (after[name] - before[name]) / (end - begin) for name in before}


def once(parts: Parts, drive: Drive, job: Job, seconds: float) -> dict[str, float]:
    """Processor time of each part for one access, above idle, in us; and "all", what an access takes."""
    idle = _during(parts, seconds)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(drives.run, drive, (job,), BEFORE + seconds + AFTER)
        time.sleep(BEFORE)
        busy = _during(parts, seconds)
        access = running.result()[job.name].us_per_io
    return {"all": access, **{name: (busy[name] - idle[name]) * access for name in busy}}
