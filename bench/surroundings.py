# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is between a borrowed device and its borrower's memory: nothing, an IOMMU, or copies. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OWNER, BORROWER = "node-a", "node-b"
LENT_DRIVE, LOCAL_DRIVE = "BENCH-LENT", "BENCH-LOCAL"
WIRE = "wire"
CARD = "e1000e"


@dataclass(frozen=True)
class Surroundings:
    """`iommu` of both hosts; sizes of the `windows` in MiB; `slow`: windows are messages to the emulator, so that accesses
    take long, and fewer have to do; `copies`: mapping is copying.
    """

    title: str
    iommu: str = "none"
    windows: tuple[int, ...] = (1024, 4096)
    slow: bool = False
    copies: bool = False

    def topology(self) -> dict[str, Any]:
        """The lab: each host has a network card; node-a has two drives as well, and lends one of them and another card."""
        card = {"model": CARD, "network": WIRE}
        drives = [{"serial": serial, "size": 1024} for serial in (LENT_DRIVE, LOCAL_DRIVE)]
        lease = {"owner": OWNER, "borrower": BORROWER}
        # Root ports: the bridge, two drives, the card that is kept, the card that is lent.
        return {
            "name": "instructions",
            "hosts": {
                OWNER: {"memory": 1024, "iommu": self.iommu, "nvme": drives, "devices": [card, card]},
                BORROWER: {"memory": 1024, "iommu": self.iommu, "devices": [card]},
            },
            "links": [{"name": "counted", "between": [OWNER, BORROWER], "windows": list(self.windows)}],
            "leases": [
                {"name": "bench-drive", "device": {"serial": LENT_DRIVE}, **lease},
                {"name": "bench-card", "device": {"address": "0000:05:00.0"}, **lease},
            ],
        }


# With windows that show a sixteenth of the memory nearly all mappings are copies.
ALL = (
    Surroundings("no IOMMU"),
    Surroundings("with IOMMU", iommu="intel", slow=True),
    Surroundings("bounce pool", windows=(64, 64), copies=True),
)
