# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the steps of a group, side by side as far as the machine bears it, and sum up what passed.

Usage: tools/run GROUP | STEP...

Groups: test, test-long, test-turn (the part of test-long that was seen longest ago), long-PART (one of its parts), lint,
molecule-labs. The environment variable LIMITS="STEPS LABS LABS_BESIDE_SHORT" says how many steps run
side by side, how many of them with a lab, and how many with a lab as long as there are short steps to run. TURN_SECONDS
says how many there are for test-turn: what is not through by then is undecided ("?"), which is no failure, and its part does
not count as seen; if they are few, it does not begin.

A step is a script in tools/steps. Its output goes to .build/logs; the end of it is shown when the step fails. Below the
table of steps, what failed is said once more in a few lines: who sees only the end of the output shall know, too. Then
comes what labs and scenarios took; .build/times.json has all of it. The last line says how many tests passed and
failed: those that the tools behind the steps counted, and one for a step that counts none of its own.

When it is interrupted, no step and no lab that came up meanwhile stays behind.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.matrix import revision

from . import emulation, long_tier, report, schedule, signals, stages
from .plan import ROOT
from .running import Interrupted, Runner
from .times import Times

GIBIBYTE = 1 << 30
SECONDS = "TURN_SECONDS"


def run(planned: Sequence[stages.Stage], limits: schedule.Limits, argv: Sequence[str], root: Path = ROOT) -> int:
    """Run stages, one after the other; returns the exit status. Raises Interrupted."""
    (root / ".build").mkdir(exist_ok=True)
    times = Times(root)
    commit = revision.commit(root)
    results: list[report.Result] = []
    try:
        for stage in planned:
            if not stage.after_failure and any(result.failed for result in results):
                print("\nNot begun, as something has failed: what was to run next.")
                break
            if stage.part:
                print(f"\nPart of the long tier: {stage.part}", flush=True)
            if stage.note:
                print(stage.note, flush=True)
            began = time.monotonic()
            ended = Runner(stage.steps, limits, root, times.environment(), stage.deadline).run()
            results += ended
            emulation.keep(root, ended, commit)
            if stage.part and all(result.ok for result in ended):
                seconds = round(time.monotonic() - began)
                long_tier.keep(root, long_tier.Passed(stage.part, commit, revision.now(), seconds))
                if seconds > long_tier.AIM:
                    print(f"\nThe part {stage.part} took {seconds} s; {long_tier.AIM:g} are its aim.")
        if any(stage.steps for stage in planned):
            _finish(times, results, limits, argv)
    finally:
        times.forget()
    return 1 if any(result.failed for result in results) else 0


def _finish(times: Times, results: list[report.Result], limits: schedule.Limits, argv: Sequence[str]) -> None:
    times.keep(argv, limits, results)
    lines = ["", *report.steps(results), *report.labs(times.labs), *report.scenarios(times.scenarios)]
    print("\n".join(lines))
    print(f"\n{report.summary(results, times.wall())}", flush=True)


def _seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{SECONDS} has to be a number of seconds: {text}") from None


def main(argv: list[str]) -> int:
    """Run what the command line names."""
    if not argv:
        print(__doc__)
        return 2
    try:
        planned = stages.of_words(argv, seconds=_seconds(os.environ.get(SECONDS, "")))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
        limits = schedule.limits(os.cpu_count() or 1, memory, os.environ.get("LIMITS", ""))
    except KeyError as error:
        print(f"tools/run: no such step: {error.args[0]}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"tools/run: {error}", file=sys.stderr)
        return 2
    signals.install()
    signals.adopt_orphans()
    try:
        return run(planned, limits, argv)
    except Interrupted as error:
        return 128 + error.number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
