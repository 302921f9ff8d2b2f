# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What planning takes on the controller: no lab, some seconds.

Each figure is divided by the time of a round trip of the same leases through JSON, in the same round, so that it says
something about the planner and little about the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from .report import MARKS
from .statistics import Spread, ratio, spread, verdict

HOSTS, LEASES, ROUNDS = 1000, 10_000, 7
# Seconds that are allowed for HOSTS and LEASES: for all hosts at once, and for each once that is done.
AIMS = {"all hosts": 1.0, "one host more": 0.05}

Leases = list[dict[str, Any]]


def fabric(hosts: int, leases: int) -> tuple[list[str], Leases]:
    """The names of hosts, and leases that are right, spread evenly over them."""
    names = [f"node-{number:04}" for number in range(hosts)]
    found = []
    for number in range(leases):
        owner, times = number % hosts, number // hosts
        device = {"address": f"0000:{times % 256:02x}:{times // 256 % 32:02x}.0"}
        borrower = names[(owner + 1 + times % (hosts - 1)) % hosts]
        found.append({"name": f"lease-{number:05}", "owner": names[owner], "device": device, "borrower": borrower})
    return names, found


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def measure(names: list[str], leases: Leases, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each round, of the round trip, of planning all hosts, and of a host once that is done."""
    sys.path.insert(0, os.environ["ANSIBLE_COLLECTIONS_PATH"].split(os.pathsep)[0])
    from ansible_collections.pcie.device_lending.plugins.plugin_utils import _plan, _plan_file

    def all_hosts() -> None:
        plans = _plan.Plans(leases, names)
        for name in names:
            plans.of(name)

    found: dict[str, list[float]] = {"round trip": [], "all hosts": [], "one host more": []}
    with tempfile.TemporaryDirectory() as directory:

        def one_host() -> None:
            _plan_file.planned(directory, _plan_file.as_text(leases) or "", names[-1], names)

        one_host()
        for _number in range(rounds):
            found["round trip"].append(_seconds(lambda: json.loads(json.dumps(leases))))
            found["all hosts"].append(_seconds(all_hosts))
            found["one host more"].append(_seconds(one_host))
    return found


def line(title: str, seconds: Spread, relative: Spread, aim: float | None = None) -> str:
    """One line of what is printed; `aim`: seconds, or none."""
    judged = "" if aim is None else f"  ≤ {aim * 1000:g} ms {MARKS[verdict(seconds, lambda value: value <= aim)]}"
    measured = f"{seconds.median * 1000:8.1f} ms {relative.median:6.2f} ({relative.low:.2f} to {relative.high:.2f})"
    return f"{title:14} {measured}{judged}"


def main() -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench.planner", description=__doc__)
    parser.add_argument("--hosts", type=int, default=HOSTS)
    parser.add_argument("--leases", type=int, default=LEASES)
    arguments = parser.parse_args()
    found = measure(*fabric(arguments.hosts, arguments.leases), ROUNDS)
    print(f"{arguments.hosts} hosts, {arguments.leases} leases: median, and ÷ a round trip through JSON (least to greatest)")
    aims = AIMS if (arguments.hosts, arguments.leases) == (HOSTS, LEASES) else {}
    for title, seconds in found.items():
        print(line(title, spread(seconds), ratio(seconds, found["round trip"]), aims.get(title)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
