# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under what conditions something was measured."""

from __future__ import annotations

import os
import subprocess
import time
from typing import Any

from lab import kernels, qemu
from lab.instance import OPTIONS, Instance
from lab.parts import prepare
from lab.progress import Progress


def of_lab(instance: Instance) -> dict[str, Any]:
    """When, with what kernel, on what emulator and how many processors of this machine, which has how much to do now."""
    program = prepare(Progress(quiet=True), kernels.DEFAULT).qemu.system
    version = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False).stdout
    number = qemu.parse_version(version)
    return {
        "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "kernel": ", ".join(sorted(set(instance.data["kernels"].values()))),
        "qemu": f"QEMU {'.'.join(map(str, number))}" if number else "QEMU of unknown version",
        "accel": OPTIONS["accel"],
        "processors": os.cpu_count(),
        "load_end": os.getloadavg(),
        "hops": 1,
    }
