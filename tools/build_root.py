# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the directory of a build host of the lab, made first where it is not cached, and the kernel it builds for.

Usage: build_root.py [SERIES]

One line for each of them: of that kernel series, or of the one the environment variable KERNEL names, or of all
("all", as SERIES or KERNEL).
"""

from __future__ import annotations

import sys

from lab import kernels, parts, progress
from lab.errors import LabError


def main() -> int:
    """Print them."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else kernels.chosen()
    try:
        for series in kernels.DEBIAN if wanted == "all" else [wanted]:
            root, kernel = parts.build_root(progress.Progress(), series)
            print(root, kernel.release)
    except LabError as exc:
        print(f"build_root: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
