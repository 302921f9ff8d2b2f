# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of site.yml that changes nothing takes on the controller: no lab.

It is divided by a play of the same hosts, in the same round, that calls `ping` four times, the number of remote calls that
such a run may have, and by one that calls it once, as often as it has. Hosts are directories of this machine, what modules
would do there is left out, and all is processor time: of the controller, and of starting each module.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import yaml

from bench.statistics import ratio, spread, verdict
from tools import linked

from . import hosts

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# To hosts that are directories; it notes each call.
CONNECTION = ROOT / "tests" / "unit" / "roles" / "stubs" / "connection"
HOSTS, ROUNDS, AIM = 200, 3, 1.5
# How often each play calls it: as often as a run may call modules on a host, and as it does.
PINGS = {"allowed": 4, "made": 1}
SAID = {True: "met", False: "missed", None: "undecided"}
MODULES = ("preflight_info", "kmod", "daemon", "fabric_info")
STAGING = "staging"
RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+).*skipped=(\d+)", re.MULTILINE)


class Recap(NamedTuple):
    """How many tasks of a host were run, have changed something, and were left out."""

    ok: int
    changed: int
    skipped: int


class Failed(Exception):
    """A run did not end as it has to. The text says how."""


class Bench:
    """Hosts in a directory, and the playbooks that are run for them."""

    def __init__(self, base: Path, number: int) -> None:
        self.base = base
        self.names = hosts.names(number)
        playbooks = linked.collection(base / "collections", self._modules()) / "playbooks"
        self._inventory()
        self._answers([], ["kmod", "daemon"])
        self.playbooks = {"site": playbooks / "site.yml"}
        for name, number_of_calls in PINGS.items():
            calls = [{"name": f"Ping {count}", "ansible.builtin.ping": {}} for count in range(number_of_calls)]
            play = {"name": "Ping", "hosts": "ntb_fabric", "become": True, "gather_facts": False, "tasks": calls}
            self.playbooks[name] = base / f"{name}.yml"
            self.playbooks[name].write_text(yaml.safe_dump([play]))

    def _modules(self) -> dict[str, Path]:
        """What stands for the modules that a run with nothing to do calls: themselves, with another end."""
        end = (HERE / "module.py").read_text()
        made = {name: self.base / "modules" / f"{name}.py" for name in MODULES}
        (self.base / "modules").mkdir()
        for path in made.values():
            own = (ROOT / "plugins/modules" / path.name).read_text()
            path.write_text(own.partition('\n\nif __name__ == "__main__":')[0] + "\n\n" + end)
        return made

    def _inventory(self) -> None:
        common = {
            "ansible_connection": "stubbed",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "ansible_pipelining": True,
            "device_lending_packages": [],
            "device_lending_build_host": self.names[0],
            "device_lending_cache": str(self.base / "cache"),
            "device_lending_leases": [hosts.lease(name) for name in self.names],
        }
        own = {
            name: {"stub_directory": str(self.base / name), "device_lending_staging": str(self.base / name / STAGING)}
            for name in self.names
        }
        (self.base / "inventory.yml").write_text(yaml.safe_dump({"ntb_fabric": {"hosts": own, "vars": common}}))
        (self.base / "cache").mkdir()

    def _answers(self, staged: list[str], due: list[str]) -> None:
        built = self.base / "built.tar.gz"
        built.touch()
        for name in self.names:
            directory = self.base / name
            (directory / STAGING).mkdir(parents=True, exist_ok=True)
            for module, answer in hosts.answers(name, staged, due, str(built)).items():
                (directory / module).write_text(hosts.as_text(answer))

    def prepare(self) -> None:
        """Have one host be brought everything: then the controller's cache is as it is when nothing is left to be done."""
        self.run("site", self.names[:1])
        self._answers(os.listdir(self.base / self.names[0] / STAGING), [])

    def run(self, name: str, limit: list[str]) -> tuple[float, list[Recap]]:
        """Processor seconds of a run for some hosts, and their recaps. Raises Failed."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run(
            ["ansible-playbook", "-i", self.base / "inventory.yml", "--limit", ",".join(limit), self.playbooks[name]],
            cwd=self.base,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(self.base / "collections"),
                "ANSIBLE_CONNECTION_PLUGINS": str(CONNECTION),
                "ANSIBLE_FORCE_COLOR": "0",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORKS": "4",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        recaps = [Recap(*(int(value) for value in found)) for found in RECAP.findall(ended.stdout)]
        if ended.returncode or len(recaps) != len(limit):
            said = (ended.stdout + ended.stderr).splitlines()[-40:]
            raise Failed(f"{self.playbooks[name].name} has failed:\n" + "\n".join(said))
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, recaps


def measure(bench: Bench, rounds: int) -> tuple[dict[str, list[float]], list[Recap]]:
    """Processor seconds of each playbook in each round, and the recaps of the last run of site.yml. Raises Failed."""
    found: dict[str, list[float]] = {name: [] for name in bench.playbooks}
    for number in range(rounds):
        recaps = {}
        for name in bench.playbooks:
            seconds, recaps[name] = bench.run(name, bench.names)
            found[name].append(seconds)
            print(f"round {number + 1} of {rounds}: {name} {seconds:.1f} s of a processor", file=sys.stderr, flush=True)
        if any(recap.changed for recap in recaps["site"]):
            raise Failed("site.yml has changed something where nothing was to be done")
    return found, recaps["site"]


def main() -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench.converge", description=__doc__)
    parser.add_argument("--hosts", type=int, default=HOSTS, help="how many; an even number")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    if arguments.hosts < 2 or arguments.hosts % 2 or arguments.rounds < 1:
        parser.error("--hosts must be even, and --rounds 1 or more")
    with tempfile.TemporaryDirectory() as directory:
        try:
            bench = Bench(Path(directory), arguments.hosts)
            bench.prepare()
            found, recaps = measure(bench, arguments.rounds)
        except Failed as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 1
    print(f"{arguments.hosts} hosts, {arguments.rounds} rounds, nothing to be done; seconds of a processor:")
    titles = {"site": "site.yml", **{name: f"ping x {calls}" for name, calls in PINGS.items()}}
    for name, title in titles.items():
        times = spread(found[name])
        print(f"{title:10} {times.median:8.1f} ({times.low:.1f} to {times.high:.1f})")
    for name in PINGS:
        relative = ratio(found["site"], found[name])
        aim = f"; aim ≤ {AIM}: {SAID[verdict(relative, lambda value: value <= AIM)]}" if name == "allowed" else ""
        print(f"site.yml / {titles[name]}: {relative.median:.2f} ({relative.low:.2f} to {relative.high:.2f}){aim}")
    run, left_out = max(recap.ok for recap in recaps), max(recap.skipped for recap in recaps)
    print(f"tasks on a host, at most: {run} run, {left_out} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
