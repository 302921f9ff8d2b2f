# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A process of the borrower maps a device's registers, which it keeps when the lease is over; see tests/returned."""

from __future__ import annotations

import fabric
from testinfra.host import Host


def test_a_process_uses_the_registers(borrower: Host) -> None:
    found = fabric.attachment(borrower, "probe")
    assert found is not None
    fabric.output(borrower, f"systemd-run --unit=kept-registers python3 /root/kept.py keep {found['address']}")
    fabric.until(lambda: borrower.file("/run/kept-registers.pid").exists, 60, "the registers are mapped")
    assert fabric.output(borrower, "python3 /root/kept.py use") == f"0x10000ed {0xFFFFFFFF ^ 0x12345678:#x}"
