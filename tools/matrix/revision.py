# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What git says of this checkout."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

UNKNOWN = "unknown"


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)


def now() -> str:
    """The time in UTC."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def today() -> str:
    """The day in UTC."""
    return now().partition("T")[0]


def commit(root: Path) -> str:
    """The commit that is checked out, with a plus sign if anything was changed since; UNKNOWN without git."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    if head.returncode:
        return UNKNOWN
    changed = _git(root, "status", "--porcelain").stdout.strip()
    return head.stdout.strip() + ("+" if changed else "")


def is_changed(root: Path, paths: list[str]) -> bool:
    """Whether some file in `paths` differs from the commit that is checked out; without git that may be."""
    status = _git(root, "status", "--porcelain", "--", *paths)
    return status.returncode != 0 or bool(status.stdout.strip())


def is_older(root: Path, seen: str, paths: list[str]) -> bool:
    """Whether some file in `paths` was changed by a commit that the one at which something was seen does not have."""
    last = _git(root, "log", "-1", "--format=%H", "--", *paths).stdout.strip()
    if not last:
        return False
    # What does not know the commit, such as one of another history, cannot say that it has the change.
    return _git(root, "merge-base", "--is-ancestor", last, seen.rstrip("+")).returncode != 0
