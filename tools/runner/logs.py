# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the logs of steps say: how many tests there were, what failed, and what goes on."""

from __future__ import annotations

import re
from pathlib import Path

CAUSES = 5
CAUSE_WIDTH = 200

# "== 12 passed, 1 failed in 3.21s ==", with pytest's -q as well; and a step's own "RESULT: 3 passed, 0 failed".
SUMMARY = re.compile(r"^(?:=+ |RESULT: )?((?:\d+ [a-z]+(?:, )?)+)(?: in [\d.]+s.*)?$")
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)")
# How pytest, ansible-test, Ansible and make say what went wrong; Ansible's reason comes in a line of its own below it.
CAUSE = re.compile(r"(?:FAILED|ERROR|FATAL):? \S|(?:fatal|failed): \[|\[ERROR\]|make: \*\*\*|\S+:\d+:.* error: ")
REASON = re.compile(r"\s+(?:msg|stderr): *(?P<text>.*\S)")


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
        fatal = line.startswith(("fatal: [", "failed: [")) or (fatal and not reason and line.startswith(" "))
    return [line[:CAUSE_WIDTH] for line in found[-CAUSES:]]


def count(log: str, ok: bool | None) -> tuple[int, int]:
    """Return how many tests a step's log says passed and failed; `ok` is None for a step that has not ended."""
    passed = failed = 0
    for line in log.splitlines():
        summary = SUMMARY.match(line.strip())
        for number, word in COUNT.findall(summary.group(1)) if summary else ():
            if word == "passed":
                passed += int(number)
            elif word in ("failed", "error", "errors"):
                failed += int(number)
    if passed == failed == 0:
        return int(ok is True), int(ok is False)
    return passed, max(failed, int(ok is False))


def last_line(log: Path, width: int = 80) -> str:
    """Return the last line of a log that says something, cut to a width."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip()[:width] for line in reversed(lines) if re.search(r"\w", line)), "")
