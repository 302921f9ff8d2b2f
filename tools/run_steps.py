# Copyright: (c) 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the steps of a group, as many at once as there are processors, and sum up what passed.

Usage: run_steps.py GROUP | STEP...

A step is a script in tools/steps. Its output goes to .build/logs; the end of it is shown when the step fails. Below the
table of steps, what failed is said once more in a few lines: who sees only the end of the output shall know, too. The last
line says how many tests passed and failed: those that the tools behind the steps counted, and one for a step that
counts none of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build" / "logs"
HEARTBEAT = 30.0
TAIL = 40
CAUSES = 5
CAUSE_WIDTH = 200

LINT = ("ruff", "mypy", "reuse", "shellcheck", "yamllint", "changelog", "docs", "ansible-lint")


class Step(NamedTuple):
    """One script, and the steps that must be through before it starts."""

    name: str
    after: tuple[str, ...] = ()

    @property
    def script(self) -> Path:
        """Where the step is."""
        return ROOT / "tools" / "steps" / self.name


# In the order in which they are started: the long ones first, so that the short ones fill the gaps.
SHORT = (
    Step("kunit"),
    Step("kernel"),
    Step("sanity"),
    Step("unit"),
    # These share what ansible-test leaves in the copy of the tree.
    Step("units", after=("sanity",)),
    Step("integration", after=("units",)),
    *(Step(name) for name in LINT),
)
# Labs take all of the machine; two at a time use what the other leaves while it waits.
LABS = ("molecule-labs", "molecule", "molecule-kernels")
TEST = (
    *SHORT,
    *(Step(name, after=tuple(step.name for step in SHORT)) for name in LABS),
    Step("matrix", after=LABS),
)

GROUPS = {"test": TEST, "lint": tuple(Step(name) for name in LINT)}

# "== 12 passed, 1 failed in 3.21s ==", with pytest's -q as well; and a step's own "RESULT: 3 passed, 0 failed".
SUMMARY = re.compile(r"^(?:=+ |RESULT: )?((?:\d+ [a-z]+(?:, )?)+)(?: in [\d.]+s.*)?$")
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)")
# How pytest, ansible-test, Ansible and make say what went wrong; Ansible's reason comes in a line of its own below it.
CAUSE = re.compile(r"(?:FAILED|ERROR|FATAL):? \S|(?:fatal|failed): \[|\[ERROR\]|make: \*\*\*|\S+:\d+:.* error: ")
REASON = re.compile(r"\s+(?:msg|stderr): *(?P<text>.*\S)")


class Running(NamedTuple):
    """A step that is under way."""

    step: Step
    process: subprocess.Popen[bytes]
    started: float
    log: Path


class Result(NamedTuple):
    """How a step ended."""

    name: str
    ok: bool
    seconds: float
    passed: int
    failed: int
    causes: list[str]


def causes(log: str) -> list[str]:
    """Return the lines of a log that say what failed, the last of them if they are many, each cut to a width."""
    found: list[str] = []
    fatal = False
    for line in log.splitlines():
        reason = REASON.match(line) if fatal else None
        if CAUSE.match(line):
            found.append(line)
        elif reason:
            found[-1] += f" {reason.group('text')}"
        fatal = line.startswith(("fatal:", "failed:")) or (fatal and not reason and line.startswith(" "))
    return [line[:CAUSE_WIDTH] for line in found[-CAUSES:]]


def count(log: str, ok: bool) -> tuple[int, int]:
    """Return how many tests a step's log says passed and failed."""
    passed = failed = 0
    for line in log.splitlines():
        summary = SUMMARY.match(line.strip())
        for number, word in COUNT.findall(summary.group(1)) if summary else ():
            if word == "passed":
                passed += int(number)
            elif word in ("failed", "error", "errors"):
                failed += int(number)
    if passed == failed == 0:
        passed = int(ok)
    return passed, failed if ok else max(failed, 1)


def last_line(log: Path, width: int = 80) -> str:
    """Return the last line of a log that says something, cut to a width."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip()[:width] for line in reversed(lines) if re.search(r"\w", line)), "")


class Runner:
    """Starts steps as others end."""

    def __init__(self, steps: tuple[Step, ...], parallel: int) -> None:
        self.began = time.monotonic()
        self.waiting = list(steps)
        self.parallel = parallel
        self.running: list[Running] = []
        self.results: list[Result] = []

    def run(self) -> int:
        """Run all steps; return the exit status."""
        LOGS.mkdir(parents=True, exist_ok=True)
        spoken = time.monotonic()
        while self.waiting or self.running:
            self.start_ready()
            if self.collect():
                spoken = time.monotonic()
            elif time.monotonic() - spoken > HEARTBEAT:
                for one in self.running:
                    self.say(
                        f"running {one.step.name} for {time.monotonic() - one.started:.0f} s: {last_line(one.log)}"
                    )
                spoken = time.monotonic()
            time.sleep(0.1)
        return self.summarise()

    def start_ready(self) -> None:
        """Start what may start now."""
        ended = {result.name for result in self.results}
        planned = {step.name for step in self.waiting} | {one.step.name for one in self.running} | ended
        for step in list(self.waiting):
            if len(self.running) >= self.parallel:
                return
            if all(name in ended for name in step.after if name in planned):
                self.waiting.remove(step)
                self.start(step)

    def start(self, step: Step) -> None:
        """Start one step."""
        log = LOGS / f"{step.name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [str(step.script)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=dict(os.environ, ANSIBLE_NOCOLOR="1", NO_COLOR="1"),
            )
        self.running.append(Running(step, process, time.monotonic(), log))
        self.say(f"start   {step.name}")

    def collect(self) -> bool:
        """Take in the steps that have ended; return whether there were any."""
        ended = [one for one in self.running if one.process.poll() is not None]
        for one in ended:
            self.running.remove(one)
            ok = one.process.returncode == 0
            text = one.log.read_text(encoding="utf-8", errors="replace")
            result = Result(one.step.name, ok, time.monotonic() - one.started, *count(text, ok), [] if ok else causes(text))
            self.results.append(result)
            self.say(f"{'pass' if ok else 'FAIL':7} {result.name} in {result.seconds:.1f} s")
            if not ok:
                print(f"----- the end of {one.log.relative_to(ROOT)}:")
                print("\n".join(text.splitlines()[-TAIL:]))
                print("-----", flush=True)
        return bool(ended)

    def summarise(self) -> int:
        """Print one line for each step and the sum; return the exit status."""
        print()
        for result in sorted(self.results, key=lambda result: result.ok, reverse=True):
            numbers = f"{result.passed} passed, {result.failed} failed"
            print(f"{'pass' if result.ok else 'FAIL'}  {result.name:16} {result.seconds:7.1f} s  {numbers}")
            for cause in result.causes:
                print(f"      {cause}")
        passed, failed = sum(r.passed for r in self.results), sum(r.failed for r in self.results)
        print(f"\n{passed} passed, {failed} failed in {time.monotonic() - self.began:.1f}s")
        return 1 if failed else 0

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)


def main(arguments: list[str]) -> int:
    """Run what the command line names."""
    if not arguments:
        print(__doc__)
        return 2
    steps: list[Step] = []
    for argument in arguments:
        steps += GROUPS.get(argument, (Step(argument),))
    missing = [step.name for step in steps if not step.script.exists()]
    if missing:
        print(f"run_steps.py: no such step: {', '.join(missing)}", file=sys.stderr)
        return 2
    return Runner(tuple(steps), parallel=max(2, os.cpu_count() or 1)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
