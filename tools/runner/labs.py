# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The labs that a run has started, and taking them down when it cannot."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

PATIENCE = 120.0


def found(root: Path) -> dict[Path, float]:
    """The state directories of labs that are up, or half up, and when each was begun."""
    begun: dict[Path, float] = {}
    for file in [root / ".lab" / "state.json", *sorted((root / ".build").glob("*/state.json"))]:
        with contextlib.suppress(OSError, ValueError):
            begun[file.parent] = float(json.loads(file.read_text(encoding="utf-8")).get("begun", 0))
    return begun


def started_since(root: Path, before: dict[Path, float]) -> list[Path]:
    """The state directories of labs that are not the ones found `before`."""
    return [state for state, begun in found(root).items() if before.get(state) != begun]


def down(root: Path, states: list[Path]) -> list[str]:
    """Take labs down, side by side; returns what went wrong."""
    commands = [
        # In a session of its own, so that one more Ctrl-C does not end it.
        subprocess.Popen(
            [sys.executable, "-m", "lab", "--state", str(state), "down"],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for state in states
    ]
    wrong = []
    for state, command in zip(states, commands, strict=True):
        try:
            status = command.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            command.kill()
            status = command.wait()
        if status:
            wrong.append(f"the lab in {state.relative_to(root)} could not be taken down")
    return wrong
