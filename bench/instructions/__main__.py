# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instructions of the guests' kernels for each access to a borrowed device, divided by those to a local one.

Starts labs of its own, in which QEMU counts (count.c), one for each of surroundings.py, and lends a drive and a network
card in it as a user does. Each of jobs.py is run with few and with many accesses, locally and borrowed, round after
round; what figures.py takes of the difference is compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench import conditions, pages, surroundings
from bench.hosts import BenchError
from bench.pair import BORROWED, LOCAL, Pair
from bench.surroundings import BORROWER, OWNER, Surroundings
from lab.errors import LabError
from lab.instance import CHECKOUT
from lab.progress import Progress
from tools.demo.hosts import DemoError

from . import counter, figures, jobs, table
from .jobs import Job
from .symbols import Symbol, Symbols

RESULTS = CHECKOUT / ".build" / "bench"
# What each page has between its markers, and whether that is the short table.
PAGES = {
    CHECKOUT / "README.md": ("instructions, short", True),
    CHECKOUT / "docs" / "performance.md": ("instructions", False),
}


class Bench:
    """One run in one of the surroundings."""

    def __init__(self, around: Surroundings, say: Progress) -> None:
        self.around = around
        self.say = say
        self.pair = Pair(around, say)

    def start(self) -> None:
        """Have the lab, in which QEMU counts."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.pair.start(RESULTS / "instructions.yml", installed="yes", plugin=str(counter.build(RESULTS)))
        self.symbols = {name: Symbols(host.lines("cat /proc/kallsyms")) for name, host in self.pair.hosts.items()}

    def _read(self, host: str) -> dict[int, int]:
        return counter.read(self.pair.instance.path / host / "plugin.sock")

    def _counted(self, target: str, job: Job, accesses: int) -> tuple[dict[str, Counter[Symbol]], int]:
        """Instructions of both hosts, by function, while accesses are made, and how many it were."""
        before = {host: self._read(host) for host in self.pair.hosts}
        made = job.run(self.pair.targets[target], accesses)
        return {host: self.symbols[host].counts(counts, self._read(host)) for host, counts in before.items()}, made

    def round(self, target: str, job: Job) -> dict[str, dict[Symbol, float]]:
        """For each access, by host and function."""
        numbers = job.slowly if self.around.slow else job.accesses
        (few, less), (many, more) = (self._counted(target, job, number) for number in numbers)
        return {host: figures.per_access(few[host], many[host], more - less) for host in self.pair.hosts}

    def measure(self, job: Job, rounds: int) -> dict[str, Any]:
        """What is made of all rounds of a job."""
        for target in self.pair.targets:
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


def counted(around: Surroundings, chosen: list[Job], rounds: int, keep: bool, say: Progress) -> dict[str, Any]:
    """What is found in one of the surroundings, and under what conditions."""
    bench = Bench(around, say)
    found = []
    try:
        bench.start()
        for job in chosen:
            try:
                found.append(bench.measure(job, rounds))
            except BenchError as error:  # the others are worth having
                say(f"{around.title}, {job.title}: {error}")
        return {"rows": found, "conditions": {**conditions.of_lab(bench.pair.instance), "rounds": rounds}}
    finally:
        if not keep:
            bench.pair.stop()


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; `around` and `chosen` are what it chooses."""
    parser = argparse.ArgumentParser(prog="bench.instructions", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="", metavar="TEXT", help="the surroundings whose name has this in it")
    parser.add_argument("--jobs", default="", metavar="TEXT", help="the jobs whose name has this in it")
    parser.add_argument("--keep", action="store_true", help="leave the lab running; needs --only")
    parser.add_argument("--show", type=Path, metavar="JSON", help="show what an earlier run has counted")
    parser.add_argument("--write", action="store_true", help="put the table into README.md and docs/performance.md")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 2:
        parser.error("--rounds must be 2 or more: what differs between them is what does not count")
    arguments.around = [one for one in surroundings.ALL if arguments.only in one.title]
    arguments.chosen = [job for job in jobs.ALL if arguments.jobs in job.title]
    if not arguments.around or not arguments.chosen:
        names = (", ".join(one.title for one in kind) for kind in (surroundings.ALL, jobs.ALL))
        parser.error("there is none: --only has to be in one of %s; --jobs in one of %s" % tuple(names))
    if arguments.keep and len(arguments.around) > 1:
        parser.error("--keep leaves one lab: say with --only which")
    if arguments.write and not arguments.show and (arguments.only or arguments.jobs):
        parser.error("--write puts the whole table into the pages: leave out --only and --jobs")
    return arguments


def count(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole run, which is stored."""
    say = Progress()
    parts = [counted(one, arguments.chosen, arguments.rounds, arguments.keep, say) for one in arguments.around]
    run = {"conditions": parts[-1]["conditions"], "rows": [row for part in parts for row in part["rows"]]}
    result = RESULTS / time.strftime("instructions-%Y%m%dT%H%M%SZ.json", time.gmtime())
    result.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(f"stored in {result.relative_to(CHECKOUT)}", file=sys.stderr)
    return run


def main() -> int:
    """Parse the command line, measure or only show, and print."""
    arguments = parse()
    missing = 0
    if arguments.show:
        run = json.loads(arguments.show.read_text(encoding="utf-8"))
    else:
        run = count(arguments)
        missing = len(arguments.around) * len(arguments.chosen) - len(run["rows"])
    print("Instructions of the kernel for each access, of functions whose number depends on accesses alone")
    print("\n".join(table.lines(run["rows"])))
    if missing:
        print(f"bench: {missing} could not be counted: what was said of them is above", file=sys.stderr)
        return 1
    if arguments.write:
        for page, (name, short) in PAGES.items():
            pages.write(page, name, table.markdown(run, short))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, DemoError, LabError, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
