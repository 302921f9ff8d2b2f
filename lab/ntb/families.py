# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The families of bridges that can be emulated, by the name a topology calls them."""

from __future__ import annotations

from .amd import Amd
from .epf import Epf
from .intel import Intel
from .model import Model

FAMILIES: dict[str, type[Model]] = {"amd": Amd, "intel": Intel, "epf": Epf}
DEFAULT = "amd"
