# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have failures of docs/failure-modes.md happen to a drive that is written to, one after the other, drawn from a seed.

Stops at the first thing that is wrong, with what is needed to look at it in .build/soak, and leaves the lab as it is then.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import yaml

from .plan import rows

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / ".build" / "soak"
STATE = DIRECTORY / "lab"
LOG = DIRECTORY / "soak.jsonl"
TOPOLOGY = Path(__file__).with_name("lab.yml")
# It has the table of failures, and what brings to its hosts the programs that they take.
SCENARIO = ROOT / "molecule" / "failures"
# What is asked of each host when something is wrong.
LOOK = {
    "dmesg": "dmesg",
    "journal": "journalctl --no-pager --boot",
    "devlend": "devlend --json list; devlend --json links; devlend --json grants",
    "tasks": "echo w >/proc/sysrq-trigger; dmesg | tail -n 200; ps axo pid,stat,wchan:32,args",
    "functions": "lspci -nnvvv",
}


def lab(*words: str) -> None:
    """Run the lab's command."""
    subprocess.run([sys.executable, "-m", "lab", "--state", str(STATE), *words], cwd=ROOT, check=True)


def programs() -> list[str]:
    """What a failure has a host run lies there: the same as in the scenario."""
    (play,) = yaml.safe_load((SCENARIO / "prepare.yml").read_text(encoding="utf-8"))
    return [str(SCENARIO.parent / name) for name in play["vars"]["put_files"]]


def install() -> None:
    """Have two hosts with the product, one of which borrows the drive of the other."""
    lab("up", "--topology", str(TOPOLOGY), "--window", "message", "--installed")
    inventory = str(STATE / "inventory.yml")
    for host in ("node-a", "node-b"):
        subprocess.run(["scp", "-q", "-F", str(STATE / "ssh_config"), *programs(), f"{host}:/root/"], check=True)
    log = DIRECTORY / "site.log"
    with log.open("w", encoding="utf-8") as output:
        command = ["ansible-playbook", "-i", inventory, str(ROOT / "playbooks" / "site.yml")]
        if subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode:
            sys.exit(f"soak: the playbook has failed; its output is in {log}")


def look(hosts: tuple[str, str]) -> None:
    """Keep what hosts say of themselves."""
    for host in hosts:
        for name, command in LOOK.items():
            with (DIRECTORY / f"{host}.{name}").open("w", encoding="utf-8") as output:
                words = ["ssh", "-F", str(STATE / "ssh_config"), "-o", "ConnectTimeout=20", host, command]
                try:
                    subprocess.run(words, stdout=output, stderr=subprocess.STDOUT, timeout=120, check=False)
                except subprocess.TimeoutExpired:
                    output.write("no answer within 120 s\n")


def soak(hours: float, seed: int) -> int:
    """Return the exit status."""
    # They are made for the scenarios' tests, and find the lab by the environment.
    fabric, failing = (importlib.import_module(name) for name in ("fabric", "failing"))
    table: dict[str, Any] = failing.table()
    scene = failing.Scene(fabric.leases()[0])
    complaints = {name: fabric.trouble(fabric.connect(name)) for name in scene.names}
    if any(complaints.values()):
        look(scene.names)
        sys.exit(f"soak: a kernel complains before anything was done: {complaints}; what hosts say is in {DIRECTORY}")
    end = time.monotonic() + hours * 3600
    counts: dict[str, int] = {}
    with LOG.open("a", encoding="utf-8") as log:
        drawn = rows([row for row in table["failures"] if not failing.blinds(row)], seed)
        for number, row in enumerate(drawn, 1):
            left = end - time.monotonic()
            if left <= 0:
                break
            print(f"[{left / 60:5.1f} min left] {number}: {row['done']}", flush=True)
            line: dict[str, Any] = {"seed": seed, "number": number, "name": row["name"]}
            try:
                line |= failing.suffer(scene, dict(row), table["ends"])
            except Exception as error:  # whatever it is: it is what the soak has found
                line["wrong"] = f"{type(error).__name__}: {error}"
                log.write(json.dumps(line) + "\n")
                traceback.print_exc()
                look(scene.names)
                print(f"soak: wrong at number {number}, {row['name']}, of seed {seed}; what hosts say is in {DIRECTORY}")
                print(f"The lab runs: python3 -m lab --state {STATE} ssh node-a. End it with down instead of ssh node-a.")
                return 1
            finally:
                scene.journal.stop()
            log.write(json.dumps(line) + "\n")
            log.flush()
            counts[row["name"]] = counts.get(row["name"], 0) + 1
    leaks = {name: fabric.leaked(fabric.connect(name)) for name in scene.names}
    if any(leaks.values()):
        look(scene.names)
        print(f"soak: memory is lost: {leaks}; what hosts say is in {DIRECTORY}, the lab runs")
        return 1
    blocks = scene.journal.acknowledged
    print(f"soak: nothing wrong: {sum(counts.values())} failures in {hours:g} h, {blocks} blocks, seed {seed}")
    for name, count in sorted(counts.items()):
        print(f"  {count:4} {name}")
    return 0


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0, help="how long; default: 1")
    parser.add_argument("--seed", type=int, help="the same one has the same failures in the same order; default: any")
    options = parser.parse_args()
    if options.hours <= 0:
        parser.error("--hours must be more than 0")
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    os.environ["LAB_STATE"] = str(STATE)
    sys.path.insert(0, str(ROOT / "molecule" / "lib"))
    print(f"soak: {options.hours:g} h with seed {seed}", flush=True)
    install()
    status = soak(options.hours, seed)
    if not status:
        lab("down")
    return status


if __name__ == "__main__":
    sys.exit(main())
