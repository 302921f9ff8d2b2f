# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants that ownerd takes in a second, divided by commits that SQLite makes in a second on the same disk.

The daemon is the real one, with its socket and its store, around the kernel and the file trees that its unit tests have:
what a grant needs of the machine is looked up, and nothing is lent. A request changes one grant, as by hand, or those of
64 drives, as a run of site.yml does, and is answered once that is on the disk; so is each commit, of a row of that size.
"""

from __future__ import annotations

import argparse
import importlib
import operator
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.instance import CHECKOUT

from .report import MARKS
from .statistics import Spread, ratio, spread, verdict

AIM = 0.5
ROUNDS, SECONDS = 5, 2.0
BORROWERS = ("node-b", "node-c")
DRIVES = 64
COMMITS = "commits of SQLite"


def per_second(once: Callable[[int], object], seconds: float) -> float:
    """How often something is done in a second; it is told how often it was done before."""
    begin, number = time.monotonic(), 0
    while (taken := time.monotonic() - begin) < seconds:
        once(number)
        number += 1
    return number / taken


def commits(directory: Path) -> Callable[[int], object]:
    """One commit, as durable as those of the daemon's store."""
    connection = sqlite3.connect(directory / "commits.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT)")
    connection.execute("INSERT INTO row VALUES (1, '')")
    return lambda number: connection.execute("UPDATE row SET text = ?", (f"{number:0200}",))


def measure(rounds: int, seconds: float) -> dict[str, list[float]]:
    """How many in a second, in each round: of grants, by how they are asked for, and of commits. They take turns."""
    sys.path[:0] = [str(CHECKOUT / "daemon"), str(CHECKOUT / "tests" / "unit" / "daemon")]
    hosts = importlib.import_module("daemon_hosts")
    # Beside the checkout's own files: what is in memory takes no time to be written.
    (CHECKOUT / ".build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".build") as name:
        fabric = hosts.Fabric(Path(name))
        owner = fabric.host("node-a")
        for number in range(DRIVES):
            owner.tree.add_nvme(f"0000:{number + 16:02x}:00.0", f"SER-{number}", f"nvme{number}n1", f"259:{number}")
        owner.start_owner()

        def grant(drives: int, number: int) -> None:
            to = BORROWERS[number % 2]
            owner.put_grants(*((f"drive-{drive}", {"serial": f"SER-{drive}"}, to) for drive in range(drives)))

        try:
            once = {"1 grant in a request": 1, f"{DRIVES} grants in a request": DRIVES}
            commit = commits(Path(name))
            found: dict[str, list[float]] = {title: [] for title in (*once, COMMITS)}
            for _round in range(rounds):
                for title, drives in once.items():
                    grant(drives, 1)  # what is declared no longer goes
                    found[title].append(drives * per_second(partial(grant, drives), seconds))
                found[COMMITS].append(per_second(commit, seconds))
            return found
        finally:
            fabric.stop()


def lines(found: dict[str, list[float]]) -> list[str]:
    """What is printed."""

    def row(title: str, value: Spread, unit: str, aim: str = "") -> str:
        return f"{title:34} {value.median:8.3g} {unit:2} ({value.low:.3g} to {value.high:.3g}){aim}"

    rows = [row(title, spread(values), "/s") for title, values in found.items()]
    for title, values in found.items():
        if title != COMMITS:
            relative = ratio(values, found[COMMITS])
            reached = MARKS[verdict(relative, partial(operator.le, AIM))]
            rows.append(row(f"{title} ÷ commits", relative, "", f"  ≥ {AIM} {reached}"))
    return rows


def main() -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench.grants", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each half of a round")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {arguments.rounds} rounds")
    print("\n".join(lines(measure(arguments.rounds, arguments.seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
