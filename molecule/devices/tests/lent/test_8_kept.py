# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A process of the borrower maps a device's registers, which it keeps when the lease is over; see tests/returned.

The owner has no IOMMU: what is lent through the window for BARs is out of reach with the last lease there. What lies in the
window for DMA is not, and its lease says "not fenced".
"""

from __future__ import annotations

import fabric
from testinfra.host import Host

NAME = "edu-small"  # its BAR is shown through the window for BARs


def test_a_process_uses_the_registers(hosts: dict[str, Host]) -> None:
    lease = fabric.declared(NAME)
    borrower = hosts[lease["borrower"]]
    address = fabric.attachment(borrower, NAME)["address"]
    fabric.output(borrower, f"echo {address} > /sys/bus/pci/devices/{address}/driver/unbind")
    fabric.output(borrower, f"systemd-run --unit=kept-registers python3 /root/kept.py keep {address}")
    fabric.until(lambda: borrower.file("/run/kept-registers.pid").exists, 60, "the registers are mapped")
    assert fabric.output(borrower, "python3 /root/kept.py use") == f"0x10000ed {0xFFFFFFFF ^ 0x12345678:#x}"
