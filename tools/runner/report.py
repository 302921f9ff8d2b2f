# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed at the end of a run. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

WIDTH = 120


class Result(NamedTuple):
    """How a step ended: seconds it took, and processor seconds of it and all it has waited for."""

    name: str
    ok: bool
    seconds: float
    cpu: float
    passed: int
    failed: int
    causes: list[str]
    undecided: bool = False  # its time was over before it had ended, and nothing had failed by then

    @property
    def verdict(self) -> str:
        """The word for it."""
        return "pass" if self.ok else "?" if self.undecided else "FAIL"


def steps(results: Sequence[Result]) -> list[str]:
    """One line for each step, those that failed last, with their causes."""
    lines = []
    for result in sorted(results, key=lambda result: (result.ok, result.undecided), reverse=True):
        numbers = f"{result.passed} passed, {result.failed} failed"
        times = f"{result.seconds:7.1f} s {result.cpu:7.1f} s cpu"
        lines.append(f"{result.verdict:4}  {result.name:30} {times}  {numbers}")
        lines += [f"      {cause}" for cause in result.causes]
    return lines


def labs(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each lab: who used the processors in it."""
    if not records:
        return []
    lines = ["", f"{'lab':22} {'up':>7} {'wall':>8} {'cpu':>8} {'machines':>9} {'bridges':>8} {'builder':>8}"]
    for record in records:
        cpu: Mapping[str, float] = record["cpu"]
        bridges = sum(seconds for name, seconds in cpu.items() if name.startswith("link "))
        builder = sum(seconds for name, seconds in cpu.items() if name.startswith("builder"))
        total = sum(cpu.values())
        shares = f"{total:8.1f} {total - bridges - builder:9.1f} {bridges:8.1f} {builder:8.1f}"
        lines.append(f"{record['lab']:22} {record['up']:7.1f} {record['wall']:8.1f} {shares}")
    return lines


def scenarios(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each scenario, and its actions below: seconds each took, and processor seconds."""
    if not records:
        return []
    lines = ["", f"{'scenario':14} {'kernel':7} {'wall':>7} {'cpu':>8}  its actions: wall/cpu"]
    for record in records:
        lines.append(f"{record['scenario']:14} {record['kernel']:7} {record['wall']:7.1f} {record['cpu']:8.1f}")
        actions = ", ".join(f"{one['action']} {one['wall']:.0f}/{one['cpu']:.0f}" for one in record["actions"])
        lines += textwrap.wrap(actions, WIDTH, initial_indent="      ", subsequent_indent="      ")
    return lines


def summary(results: Sequence[Result], seconds: float) -> str:
    """The last line, which those who run this count."""
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    return f"{passed} passed, {failed} failed in {seconds:.1f}s"
