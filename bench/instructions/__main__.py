# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions of the guests' kernels for each access to a borrowed device, divided by those to a local one.

Starts labs of its own, in which QEMU counts (count.c), one for each of surroundings.py, and lends a drive and a network
card in it as a user does. Each of jobs.py is run with few and with many accesses, locally and borrowed, round after
round; what figures.py takes of the difference is compared.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
import sys
import time
from collections import Counter
from typing import Any

import yaml

from bench import drives
from bench.hosts import BenchError, Host
from bench.report import MARKS, number
from bench.statistics import Spread, ratio, spread, verdict
from lab.errors import LabError
from lab.instance import CHECKOUT, OPTIONS, Instance
from lab.progress import Progress
from tools.demo.__main__ import playbook
from tools.demo.hosts import STATE, DemoError

from . import cards, counter, figures, jobs, surroundings
from .jobs import Job, Target
from .surroundings import BORROWER, LENT_DRIVE, LOCAL_DRIVE, OWNER, Surroundings
from .symbols import Symbol, Symbols

RESULTS = CHECKOUT / ".build" / "bench"
LOCAL, BORROWED = "local", "borrowed"


class Bench:
    """One run in one of the surroundings."""

    def __init__(self, around: Surroundings, say: Progress) -> None:
        self.around = around
        self.say = say
        self.instance = Instance(STATE)

    def start(self) -> None:
        """Have the lab, with a drive and a card that are lent."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        options = {**OPTIONS, "installed": "yes", "plugin": str(counter.build(RESULTS))}
        topology = RESULTS / "instructions.yml"
        topology.write_text(yaml.safe_dump(self.around.topology()), encoding="utf-8")
        with self.instance.locked():
            self.instance.up(topology, options, self.say)
        self.say(f"{self.around.title}: lending a drive and a network card (playbooks/site.yml)")
        playbook("site.yml")
        self.hosts = {name: Host(self.instance, name) for name in (OWNER, BORROWER)}
        self.symbols = {name: Symbols(host.lines("cat /proc/kallsyms")) for name, host in self.hosts.items()}
        owner, borrower = self.hosts.values()
        (kept,) = cards.of(owner)
        lent, own = cards.borrowed_first(cards.of(borrower))
        pause = 0.03 if self.around.slow else 0.0002
        self.targets = {
            LOCAL: Target(owner, drives.by_serial(owner, LOCAL_DRIVE), kept, (), own, pause),
            BORROWED: Target(borrower, drives.by_serial(borrower, LENT_DRIVE), lent, (own,), kept, pause),
        }

    def stop(self) -> None:
        """End the lab."""
        for host in getattr(self, "hosts", {}).values():
            host.hang_up()
        with self.instance.locked():
            self.instance.down()

    def _counted(self, target: str, job: Job, accesses: int) -> tuple[dict[str, Counter[Symbol]], int]:
        """Instructions of both hosts, by function, while accesses are made, and how many it were."""
        before = {host: counter.read(self.instance.path / host / "plugin.sock") for host in self.hosts}
        made = job.run(self.targets[target], accesses)
        return {
            host: self.symbols[host].counts(counts, counter.read(self.instance.path / host / "plugin.sock"))
            for host, counts in before.items()
        }, made

    def round(self, target: str, job: Job) -> dict[str, dict[Symbol, float]]:
        """For each access, by host and function."""
        numbers = job.slowly if self.around.slow else job.accesses
        (few, less), (many, more) = (self._counted(target, job, number) for number in numbers)
        return {host: figures.per_access(few[host], many[host], more - less) for host in self.hosts}

    def measure(self, job: Job, rounds: int) -> dict[str, Any]:
        """What is made of all rounds of a job."""
        for target in self.targets:
            self._counted(target, job, 20)  # what is done for the first time is done now
        local, borrowed, owner = [], [], []
        for index in range(rounds):
            local.append(self.round(LOCAL, job)[OWNER])
            found = self.round(BORROWED, job)
            borrowed.append(found[BORROWER])
            owner.append(figures.of_module(found[OWNER], figures.OURS))
            self.say(f"{self.around.title}, {job.title}: round {index + 1} of {rounds}")
        on_local, on_borrowed = figures.compared(local, borrowed, self.around.copies)
        return {
            "around": self.around.title,
            "title": job.title,
            "aim": job.aim,
            "local": on_local,
            "borrowed": on_borrowed,
            "all": [figures.of_kernel(one) for one in local],
            "ours": [figures.of_module(one, figures.OURS) for one in borrowed],
            "owner": owner,
            "where": figures.largest(borrowed, figures.OURS),
            "differing": figures.differing(local, borrowed, self.around.copies),
        }


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The table."""
    head = ("", "", "local, of all", "local", "borrowed", "ntb_lend", "owner's ntb_lend", "borrowed ÷ local", "aim")
    rows = [head]
    for job in found:
        local, borrowed, ours, owner = (spread(job[key]) for key in ("local", "borrowed", "ours", "owner"))
        relative = ratio(job["borrowed"], job["local"])
        reached = MARKS[verdict(relative, functools.partial(operator.ge, job["aim"]))]
        rows.append((
            job["around"], job["title"], number(spread(job["all"]).median), shown(local), shown(borrowed), shown(ours),
            f"{owner.median:.1f}",
            f"{relative.median:.3f} ({relative.low:.3f} – {relative.high:.3f})", f"≤ {job['aim']} {reached}",
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def shown(value: Spread) -> str:
    """A figure, and by how much of it rounds differ."""
    return f"{number(value.median)} ±{(value.high - value.low) / 2 / value.median * 100:.1f} %" if value.median else "0"


def counted(around: Surroundings, chosen: list[Job], rounds: int, keep: bool, say: Progress) -> list[dict[str, Any]]:
    """What is found in one of the surroundings."""
    bench = Bench(around, say)
    found = []
    try:
        bench.start()
        for job in chosen:
            try:
                found.append(bench.measure(job, rounds))
            except BenchError as error:  # the others are worth having
                say(f"{around.title}, {job.title}: {error}")
        return found
    finally:
        if not keep:
            bench.stop()


def main() -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench.instructions", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", metavar="TEXT", help="the surroundings whose name has this in it")
    parser.add_argument("--jobs", default="", metavar="TEXT", help="the jobs whose name has this in it")
    parser.add_argument("--keep", action="store_true", help="leave the lab running; needs --only")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be 2 or more: what differs between them is what does not count")
    around = [one for one in surroundings.ALL if arguments.only in one.title]
    chosen = [job for job in jobs.ALL if arguments.jobs in job.title]
    if not around or not chosen:
        names = (", ".join(one.title for one in kind) for kind in (surroundings.ALL, jobs.ALL))
        parser.error("there is none: --only has to be in one of %s; --jobs in one of %s" % tuple(names))
    if arguments.keep and len(around) > 1:
        parser.error("--keep leaves one lab: say with --only which")
    say = Progress()
    found = [row for one in around for row in counted(one, chosen, arguments.rounds, arguments.keep, say)]
    result = RESULTS / time.strftime("instructions-%Y%m%dT%H%M%SZ.json", time.gmtime())
    result.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("Instructions of the kernel for each access, of functions whose number depends on accesses alone")
    print("\n".join(lines(found)))
    print(f"stored in {result.relative_to(CHECKOUT)}", file=sys.stderr)
    missing = len(around) * len(chosen) - len(found)
    if missing:
        print(f"bench: {missing} could not be counted: what was said of them is above", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, DemoError, LabError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
