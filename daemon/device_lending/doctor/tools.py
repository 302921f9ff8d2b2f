# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Other programs, for what they know: short of time, and never missed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence

# The command; what it prints, both streams, or None when it is not there or does not end.
Runner = Callable[[Sequence[str]], str | None]

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS = 15.0


def run(command: Sequence[str]) -> str | None:
    """A Runner that starts it."""
    environment = {"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
    try:
        done = subprocess.run(  # noqa: S603
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace")
