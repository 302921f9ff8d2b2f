# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Molecule scenarios, all of them even if one fails, and say what each of their actions took.

Usage: python -m tools.runner.scenario SCENARIO...

A line of JSON for each is appended to the file that the environment variable SCENARIO_TIMES names (its fields: see
times.py), and one that says when and at which commit it began to its records in .build/matrix.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.matrix import kept, revision

from . import scenarios, times

ROOT = Path(__file__).resolve().parents[2]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What Molecule says of a scenario's actions: all of them at first, then each when it begins.
MATRIX = re.compile(r"\S+ +\[\S+ > discovery\] scenario test matrix: (.*)")
BEGINS = re.compile(r"\S+ +\[\S+ > (\w+)\] Executing$")
PATIENCE = 10.0
TICK = os.sysconf("SC_CLK_TCK")


def cpu_of_tree(pid: int) -> float:
    """Processor seconds of a process, of what it has started and still runs, and of what these have waited for."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        number = int(path.parent.name)
        parents[number] = int(fields[1])
        ticks[number] = sum(int(field) for field in fields[11:15])
    tree = {pid}
    while more := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(ticks.get(number, 0) for number in tree) / TICK


class Actions:
    """The actions of a scenario, told from the lines that Molecule prints."""

    def __init__(self) -> None:
        self.planned: list[str] = []
        self.begun: list[tuple[str, float, float]] = []

    def line(self, text: str, now: float, cpu: float) -> None:
        """Take in a line, printed when a clock and the processor time of Molecule so far were this."""
        text = COLOUR.sub("", text).rstrip()
        if found := MATRIX.match(text):
            self.planned = found[1].split(", ")
        elif found := BEGINS.match(text):
            self.begun.append((self._whole(found[1]), now, cpu))

    def _whole(self, action: str) -> str:
        """An action with its arguments."""
        number = len(self.begun)
        planned = self.planned[number] if number < len(self.planned) else ""
        return planned if planned.split(" ")[0] == action else action

    def took(self, now: float, cpu: float) -> list[dict[str, Any]]:
        """What each took, the last until now."""
        ends = [*self.begun, ("", now, cpu)][1:]
        return [
            {"action": name, "wall": round(end - start, 1), "cpu": round(max(used - before, 0.0), 1)}
            for (name, start, before), (_next, end, used) in zip(self.begun, ends, strict=True)
        ]


def forget(name: str) -> None:
    """Have Molecule keep what it knows of a scenario's hosts in a place of its own, and know nothing yet.

    After a run that was interrupted it would take them for created, and be wrong.
    """
    directory = ROOT / ".build" / "molecule" / name
    shutil.rmtree(directory, ignore_errors=True)
    os.environ["MOLECULE_EPHEMERAL_DIRECTORY"] = str(directory)


def run(name: str, command: list[str], kernel: str) -> dict[str, Any]:
    """Run the command that runs a scenario, pass on what it prints, and return what it took."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        return {"scenario": name, "kernel": kernel, **_follow(process)}
    except KeyboardInterrupt:
        # It is for Molecule, too. Who takes the lab down shall not do that under its hands.
        assert process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            _read(process.stdout.fileno())
            time.sleep(0.05)
        raise


def _follow(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    actions = Actions()
    began = time.monotonic()
    assert process.stdout is not None
    rest = b""
    # The end of its output is not its end: something that stays may hold it open, as ssh does, and nobody waits for that.
    os.set_blocking(process.stdout.fileno(), False)
    while True:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        while data := _read(process.stdout.fileno()):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if b" > " in line:
                    cpu = used.ru_utime + used.ru_stime if ended else cpu_of_tree(process.pid)
                    actions.line(line.decode(errors="replace"), time.monotonic() - began, cpu)
        if ended:
            break
        time.sleep(0.05)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
    return {
        "ok": process.returncode == 0,
        "wall": round(wall, 1),
        "cpu": round(cpu, 1),
        "actions": actions.took(wall, cpu),
    }


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


def main(names: list[str]) -> int:
    """Return the exit status."""
    if not names:
        sys.exit(__doc__)
    os.environ["MOLECULE_GLOB"] = "molecule/*/molecule.yml"
    failed = False
    for name in names:
        series = scenarios.series(name, ROOT)
        forget(name)
        for kernel in series:
            kept.begin(ROOT / ".build" / "matrix", name, kernel, revision.commit(ROOT), revision.today())
        record = run(name, ["molecule", "test", "--scenario-name", name], " ".join(series))
        if path := os.environ.get(times.SCENARIOS):
            with open(path, "a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
        # A run of some of its tests says less than the one before.
        if record["ok"] and os.environ.get(scenarios.LONG_TESTS) != scenarios.ONLY:
            for kernel in series:
                kept.end(ROOT / ".build" / "matrix", name, kernel)
        failed = failed or not record["ok"]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
