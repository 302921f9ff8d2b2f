# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions of the guests' kernels for each access to a borrowed drive, divided by those to a local one.

Starts a lab of its own, in which QEMU counts (count.c), and lends a drive in it as a user does. A job is run with few
and with many accesses, locally and borrowed, round after round; what figures.py takes of the difference is compared.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench import drives
from bench.hosts import BenchError, Host
from bench.report import MARKS, number
from bench.statistics import Spread, ratio, spread, verdict
from lab.errors import LabError
from lab.instance import CHECKOUT, OPTIONS, Instance
from lab.progress import Progress
from tools.demo.__main__ import playbook
from tools.demo.hosts import STATE, DemoError

from . import counter, figures
from .symbols import Symbol, Symbols

OWNER, BORROWER = "node-a", "node-b"
TOPOLOGY = Path(__file__).with_name("topology.yml")
RESULTS = CHECKOUT / ".build" / "bench"


class Job:
    """Accesses of one kind, one at a time. `aim`: what a borrowed drive may take of a local one's instructions at most."""

    def __init__(self, rw: str, block: int, aim: float, few: int, many: int) -> None:
        self.rw, self.block, self.aim, self.few, self.many = rw, block, aim, few, many
        self.title = f"{block >> 10} KiB {'write' if 'write' in rw else 'read'}, queue depth 1"

    def command(self, device: str, accesses: int) -> str:
        """What makes so many of them."""
        return (
            f"fio --name=x --filename={device} --direct=1 --ioengine=libaio --iodepth=1 --rw={self.rw} --bs={self.block} "
            f"--size=512M --randseed=1 --number_ios={accesses} --output-format=terse >/dev/null"
        )


JOBS = (
    Job("randread", 4 << 10, 1.02, 500, 2500),
    Job("randwrite", 4 << 10, 1.02, 500, 2500),
    Job("randread", 128 << 10, 1.03, 100, 400),
    Job("randwrite", 128 << 10, 1.03, 100, 400),
)


class Bench:
    """One run."""

    def __init__(self) -> None:
        self.say = Progress()
        self.instance = Instance(STATE)

    def start(self) -> None:
        """Have the lab, with a drive that is lent."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        options = {**OPTIONS, "installed": "yes", "plugin": str(counter.build(RESULTS))}
        with self.instance.locked():
            self.instance.up(TOPOLOGY, options, self.say)
        self.say("lending a drive (playbooks/site.yml)")
        playbook("site.yml")
        self.hosts = {name: Host(self.instance, name) for name in (OWNER, BORROWER)}
        self.symbols = {name: Symbols(host.lines("cat /proc/kallsyms")) for name, host in self.hosts.items()}
        self.targets = {
            "local": (OWNER, drives.by_serial(self.hosts[OWNER], "BENCH-LOCAL")),
            "borrowed": (BORROWER, drives.by_serial(self.hosts[BORROWER], "BENCH-LENT")),
        }

    def stop(self) -> None:
        """End the lab."""
        for host in getattr(self, "hosts", {}).values():
            host.hang_up()
        with self.instance.locked():
            self.instance.down()

    def _counted(self, target: str, job: Job, accesses: int) -> dict[str, Counter[Symbol]]:
        """Instructions of both hosts, by function, while accesses are made."""
        name, device = self.targets[target]
        before = {host: counter.read(self.instance.path / host / "plugin.sock") for host in self.hosts}
        self.hosts[name].run(job.command(device, accesses))
        return {
            host: self.symbols[host].counts(counts, counter.read(self.instance.path / host / "plugin.sock"))
            for host, counts in before.items()
        }

    def round(self, target: str, job: Job) -> dict[str, dict[Symbol, float]]:
        """For each access, by host and function."""
        few, many = (self._counted(target, job, accesses) for accesses in (job.few, job.many))
        return {host: figures.per_access(few[host], many[host], job.many - job.few) for host in self.hosts}

    def measure(self, job: Job, rounds: int) -> dict[str, Any]:
        """What is made of all rounds of a job."""
        for target in self.targets:
            self._counted(target, job, 20)  # what is done for the first time is done now
        local, borrowed, owner = [], [], []
        for index in range(rounds):
            local.append(self.round("local", job)[OWNER])
            found = self.round("borrowed", job)
            borrowed.append(found[BORROWER])
            owner.append(figures.of_module(found[OWNER], figures.OURS))
            self.say(f"{job.title}: round {index + 1} of {rounds}")
        on_local, on_borrowed = figures.compared(local, borrowed)
        return {
            "title": job.title,
            "aim": job.aim,
            "local": on_local,
            "borrowed": on_borrowed,
            "all": [figures.of_kernel(one) for one in local],
            "ours": [figures.of_module(one, figures.OURS) for one in borrowed],
            "owner": owner,
        }


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The table."""
    head = ("", "local, of all", "local", "borrowed", "ntb_lend", "owner's ntb_lend", "borrowed ÷ local", "aim")
    rows = [head]
    for job in found:
        local, borrowed, ours, owner = (spread(job[key]) for key in ("local", "borrowed", "ours", "owner"))
        relative = ratio(job["borrowed"], job["local"])
        reached = MARKS[verdict(relative, functools.partial(operator.ge, job["aim"]))]
        rows.append((
            job["title"], number(spread(job["all"]).median), shown(local), shown(borrowed), shown(ours),
            f"{owner.median:.1f}",
            f"{relative.median:.3f} ({relative.low:.3f} – {relative.high:.3f})", f"≤ {job['aim']} {reached}",
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def shown(value: Spread) -> str:
    """A figure, and by how much of it rounds differ."""
    return f"{number(value.median)} ±{(value.high - value.low) / 2 / value.median * 100:.1f} %" if value.median else "0"


def main() -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench.instructions", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be 2 or more: what differs between them is what does not count")
    bench = Bench()
    try:
        bench.start()
        found = [bench.measure(job, arguments.rounds) for job in JOBS]
    finally:
        if not arguments.keep:
            bench.stop()
    result = RESULTS / time.strftime("instructions-%Y%m%dT%H%M%SZ.json", time.gmtime())
    result.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("Instructions of the kernel for each access, of functions whose number depends on accesses alone")
    print("\n".join(lines(found)))
    print(f"stored in {result.relative_to(CHECKOUT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, DemoError, LabError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
