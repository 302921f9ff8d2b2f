# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What took how long, kept in .build/times.json.

{"argv": ["test"], "commit": "0123456789ab", "date": "2026-01-31", "processors": 2, "wall": 1100.2, "cpu": 1900.5,
 "limits": {"steps": 2, "labs": 2, "labs_beside_short": 1},
 "steps": [{"name": "unit", "ok": true, "wall": 90.1, "cpu": 80.2, "passed": 500, "failed": 0}, ...],
 "labs": [{"lab": "kernels", "state": "DIRECTORY", "up": 41.2, "wall": 312.0, "cpu": {"node-a": 93.1, ...}}, ...],
 "scenarios": [{"scenario": "default", "kernel": "6.12", "ok": true, "wall": 300.1, "cpu": 40.2,
                "actions": [{"action": "verify tests/lent", "wall": 48.9, "cpu": 5.1}, ...]}, ...]}

All in seconds. `cpu` of a step or scenario is its processes' without the machines and bridges, which are the labs'; that
of the whole is of everything that has ended.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.matrix import revision

from .report import Result
from .schedule import Limits

# Files that labs and scenarios append lines to. See lab/instance.py, and scenario.py.
LABS = "LAB_TIMES"
SCENARIOS = "SCENARIO_TIMES"


class Times:
    """Collects what labs and scenarios write, and keeps it."""

    def __init__(self, root: Path) -> None:
        self.began = time.monotonic()
        self.root = root
        # Not that of another run in this checkout.
        self._files = {name: root / ".build" / f"{name.lower()}.{os.getpid()}.jsonl" for name in (LABS, SCENARIOS)}

    def environment(self) -> dict[str, str]:
        """The variables that steps get."""
        return {name: str(path) for name, path in self._files.items()}

    @property
    def labs(self) -> list[dict[str, Any]]:
        """What labs have written."""
        return self._read(LABS)

    @property
    def scenarios(self) -> list[dict[str, Any]]:
        """What scenarios have written."""
        return self._read(SCENARIOS)

    def _read(self, name: str) -> list[dict[str, Any]]:
        path = self._files[name]
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def wall(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def keep(self, argv: Sequence[str], limits: Limits, results: Sequence[Result]) -> None:
        """Write it down."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        data = {
            "argv": list(argv),
            "commit": revision.commit(self.root),
            "date": revision.today(),
            "processors": os.cpu_count(),
            "wall": round(self.wall(), 1),
            "cpu": round(used.ru_utime + used.ru_stime, 1),
            "limits": limits._asdict(),
            "steps": [
                {
                    "name": result.name,
                    "ok": result.ok,
                    "wall": round(result.seconds, 1),
                    "cpu": round(result.cpu, 1),
                    "passed": result.passed,
                    "failed": result.failed,
                }
                for result in results
            ],
            "labs": self.labs,
            "scenarios": self.scenarios,
        }
        (self.root / ".build" / "times.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def forget(self) -> None:
        """Remove what labs and scenarios have written."""
        for path in self._files.values():
            path.unlink(missing_ok=True)
