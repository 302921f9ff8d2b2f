# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Where things are that the doctor looks at, so that tests can put them elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from device_lending import paths
from device_lending.pci.sysfs import Roots


@dataclass(frozen=True)
class Places:
    """The kernel's trees, the modules of all kernels, and the daemons' configuration."""

    roots: Roots = field(default_factory=Roots)
    modules: Path = Path("/lib/modules")
    config: str = paths.CONFIG
