# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each step took: time that passed, and processor time of the commands that were run for it."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Taken(NamedTuple):
    """One step, in seconds."""

    name: str
    wall: float
    cpu: float


def of_children() -> float:
    """Processor time of all commands that have ended, and of those that they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Times:
    """The steps so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.steps: list[Taken] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take the time of a step that ends without an exception."""
        wall, cpu = time.monotonic(), of_children()
        yield
        self.steps.append(Taken(name, time.monotonic() - wall, of_children() - cpu))

    def total(self) -> Taken:
        """All of the run, with what was between the steps."""
        return Taken("in all", time.monotonic() - self._began, sum(taken.cpu for taken in self.steps))

    def table(self) -> list[str]:
        """Lines to print."""
        rows = [*self.steps, self.total()]
        width = max(len(taken.name) for taken in rows)
        heading = f"{'step':{width}}  {'time':>9}  {'processor':>9}"
        lines = [f"{taken.name:{width}}  {taken.wall:7.1f} s  {taken.cpu:7.1f} s" for taken in rows]
        return [heading, *lines[:-1], "─" * len(heading), lines[-1]]

    def save(self, path: Path) -> None:
        """Keep them as JSON."""
        total = self.total()
        steps = [dict(taken._asdict(), wall=round(taken.wall, 3), cpu=round(taken.cpu, 3)) for taken in self.steps]
        document: dict[str, Any] = {"steps": steps, "wall": round(total.wall, 3), "cpu": round(total.cpu, 3)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
