# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which programs of a directory are hooks: those that run-parts(8) would run, and that nobody but root can change."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def choose(directory: Path, user: int) -> tuple[list[Path], list[str]]:
    """The hooks in the order of their names, and why others are refused. `user` may own them as well as root."""
    try:
        names = sorted(os.listdir(directory))
        why = _foreign(directory.stat(), user)
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{directory} cannot be read: {error.strerror}"]
    if why:
        return [], [f"{directory} {why}: no hook in it is run"]
    found, refused = [], []
    for path in (directory / name for name in names if _NAME.fullmatch(name)):
        try:
            state = path.stat()
        except OSError as error:
            refused.append(f"{path} cannot be looked at: {error.strerror}")
            continue
        if not stat.S_ISREG(state.st_mode) or not state.st_mode & 0o111:
            continue
        why = _foreign(state, user)
        if why:
            refused.append(f"{path} {why}: it is not run")
        else:
            found.append(path)
    return found, refused


def _foreign(state: os.stat_result, user: int) -> str:
    """Why others than root may change a file; "" when they may not."""
    if state.st_uid not in (0, user):
        return f"belongs to user {state.st_uid}, not to root"
    return "can be written by others than root" if state.st_mode & 0o022 else ""
