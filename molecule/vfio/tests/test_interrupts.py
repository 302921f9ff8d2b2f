# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Interrupts of a borrowed device in user space, by eventfd."""

from __future__ import annotations

from typing import Any

import user_space
from testinfra.host import Host


def test_each_interrupt_comes_once(borrower: Host, engine: dict[str, Any]) -> None:
    """INTx, relayed and masked until the program lets it go on; and MSI, as messages over the bridge."""
    seen = user_space.moved(borrower, engine, "--interrupts")
    assert seen == {"own": True, "victim": None, "still": True, "intx": 10, "msi": 10}
