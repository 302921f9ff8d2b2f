# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the directory of the lab's build host, made first where it is not cached, and the kernel it builds for."""

from __future__ import annotations

import sys

from lab import instance, progress
from lab.errors import LabError


def main() -> int:
    """Print both."""
    try:
        parts = instance.prepare(progress.Progress())
    except LabError as exc:
        print(f"build_root: {exc}", file=sys.stderr)
        return 1
    print(parts.builder, parts.image.release)
    return 0


if __name__ == "__main__":
    sys.exit(main())
