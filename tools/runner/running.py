# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that run: started as others end, watched, and ended when the run has to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import ending, labs, logs, schedule, signals
from .plan import ROOT, Step
from .report import Result

HEARTBEAT = 30.0
TAIL = 40


class Interrupted(Exception):
    """A signal has come; no step runs any more."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Running(NamedTuple):
    """A step that is under way."""

    step: Step
    process: subprocess.Popen[bytes]
    started: float
    log: Path


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


class Runner:
    """Starts steps as others end. After a deadline, if there is one, it ends those that run."""

    def __init__(
        self,
        steps: Sequence[Step],
        limits: schedule.Limits,
        root: Path = ROOT,
        environment: dict[str, str] | None = None,
        deadline: schedule.Deadline | None = None,
    ) -> None:
        self.began = time.monotonic()
        self.waiting = schedule.longest_first(steps)
        self.limits = limits
        self.root = root
        self.environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1", **(environment or {})}
        self.deadline = deadline
        self.labs = labs.found(root)
        self.running: list[Running] = []
        self.results: list[Result] = []

    def run(self) -> list[Result]:
        """Run all steps; return how they ended. Raises Interrupted. After any exception nothing runs any more."""
        (self.root / ".build" / "logs").mkdir(parents=True, exist_ok=True)
        try:
            self._go()
        except BaseException:
            self._clear_up()
            raise
        return self.results

    def _go(self) -> None:
        spoken = time.monotonic()
        while self.waiting or self.running:
            if signals.caught:
                raise Interrupted(signals.caught[0])
            if self.deadline is not None and time.monotonic() - self.began > self.deadline.seconds:
                self._give_up(self.deadline)
                break
            self._start_ready()
            if self._collect():
                spoken = time.monotonic()
            elif time.monotonic() - spoken > HEARTBEAT:
                for one in self.running:
                    passed = time.monotonic() - one.started
                    self.say(f"running {one.step.name} for {passed:.0f} s: {logs.last_line(one.log)}")
                spoken = time.monotonic()
            time.sleep(0.1)

    def _start_ready(self) -> None:
        while step := schedule.following(self.waiting, [one.step for one in self.running], self.limits):
            self.waiting.remove(step)
            self._start(step)

    def _start(self, step: Step) -> None:
        log = self.root / ".build" / "logs" / f"{step.name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                step.command(self.root),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env={**self.environment, **dict(step.environment)},
                start_new_session=True,
            )
        self.running.append(Running(step, process, time.monotonic(), log))
        self.say(f"start   {step.name}")

    def _collect(self) -> bool:
        """Take in the steps that have ended; return whether there were any."""
        ending.reap_orphans(one.process.pid for one in self.running)
        some = False
        for one in list(self.running):
            pid, status, used = os.wait4(one.process.pid, os.WNOHANG)
            if pid:
                one.process.returncode = os.waitstatus_to_exitcode(status)
                self.running.remove(one)
                self._ended(one, used.ru_utime + used.ru_stime)
                some = True
        return some

    def _ended(self, one: Running, cpu: float) -> None:
        ok = one.process.returncode == 0
        text = _text(one.log)
        seconds = time.monotonic() - one.started
        causes = [] if ok else logs.causes(text)
        result = Result(one.step.name, ok, seconds, cpu, *logs.count(text, ok), causes)
        self.results.append(result)
        self.say(f"{'pass' if ok else 'FAIL':7} {result.name} in {result.seconds:.1f} s")
        if not ok:
            self._show_end(one, text)

    def _show_end(self, one: Running, text: str) -> None:
        print(f"----- the end of {one.log.relative_to(self.root)}:")
        print("\n".join(text.splitlines()[-TAIL:]))
        print("-----", flush=True)

    def _give_up(self, deadline: schedule.Deadline) -> None:
        """End what runs; it has failed or is undecided, as the deadline says, and so is what did not begin."""
        why = f"not through after {deadline.seconds:.0f} s"
        self.say(f"{why}: ending {', '.join(one.step.name for one in self.running)}")
        # What fails from now on, fails as it is ended.
        late = [(one, _text(one.log)) for one in self.running]
        self._clear_up()
        for one, text in late:
            passed, failed = logs.count(text, False if deadline.fails else None)
            seconds = time.monotonic() - one.started
            self.results.append(Result(one.step.name, False, seconds, 0.0, passed, failed, [why], failed == 0))
            self._show_end(one, _text(one.log))
        failed = int(deadline.fails)
        why = "did not begin in time"
        self.results += [Result(step.name, False, 0.0, 0.0, 0, failed, [why], not failed) for step in self.waiting]
        self.waiting = []

    def _clear_up(self) -> None:
        """End what runs, with the labs that came up meanwhile."""
        names = [one.step.name for one in self.running]
        came = len(signals.caught)
        ending.end([one.process.pid for one in self.running], lambda: len(signals.caught) > came)
        for one in self.running:
            one.process.poll()
        self.running = []
        states = labs.started_since(self.root, self.labs)
        wrong = labs.down(self.root, states)
        ending.end_orphans()
        what = [f"ended {', '.join(names)}"] if names else []
        what += [f"took down the labs in {', '.join(str(state.relative_to(self.root)) for state in states)}"] * bool(states)
        # Nobody may be there any more to read it.
        with contextlib.suppress(OSError):
            self.say("; ".join(what + wrong) or "nothing was running")

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)
