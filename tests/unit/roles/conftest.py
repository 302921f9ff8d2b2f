# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes importable what tests of the roles share with each other and with those of the daemons."""

from __future__ import annotations

import sys
from pathlib import Path

UNIT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(UNIT.parents[1] / "daemon"), str(UNIT / "daemon"), str(UNIT / "roles")]
