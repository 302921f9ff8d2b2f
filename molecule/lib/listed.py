# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Lists of devices, without those that the lab's kernel is too old for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lab import kernels


def load(file: Path) -> dict[str, Any]:
    """What a file says; of the entries with `since`, those that the kernel series of this run is not older than."""
    kernel = kernels.series(kernels.chosen()).numbers
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    data["devices"] = [entry for entry in data["devices"] if kernels.numbers(entry.get("since", "0")) <= kernel]
    return data
