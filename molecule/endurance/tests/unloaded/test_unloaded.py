# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""After all that, the module can be unloaded, and nothing of it stays."""

from __future__ import annotations

import fabric
from testinfra.host import Host


def test_no_modules_are_left(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert [line for line in fabric.output(host, "lsmod").splitlines() if line.startswith("ntb")] == []


def test_no_cache_of_the_module_is_left(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert "lend" not in fabric.output(host, "cat /proc/slabinfo")


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner, "endurance begins") == []
    assert fabric.trouble(borrower, "endurance begins") == []
