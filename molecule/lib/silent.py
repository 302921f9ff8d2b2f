# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A function that does not answer any more, although its host's kernel has not noticed."""

from __future__ import annotations

from collections.abc import Callable

import fabric
from testinfra.host import Host


def silence(owner: Host, address: str) -> Callable[[], None]:
    """Have a function's root port pass nothing on to it; what has it answer again."""
    port = fabric.output(owner, f"basename $(dirname $(readlink -f /sys/bus/pci/devices/{address}))")
    command, bus = fabric.output(owner, f"setpci -s {port} COMMAND SECONDARY_BUS").split()
    fabric.output(owner, f"setpci -s {port} COMMAND=0:7 SECONDARY_BUS=0")
    assert fabric.output(owner, f"setpci -s {address} VENDOR_ID 2>/dev/null || echo ffff") == "ffff"

    def answer() -> None:
        fabric.output(owner, f"setpci -s {port} COMMAND={command} SECONDARY_BUS={bus}")

    return answer
