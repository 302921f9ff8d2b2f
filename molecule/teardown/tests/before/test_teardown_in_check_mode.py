# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""In check mode the teardown says what it would do on each host, and does nothing."""

from __future__ import annotations

from typing import Any

import fabric
from testinfra.host import Host

THERE = "/opt/device-lending/current /etc/modules-load.d/device-lending.conf /sys/module/ntb_lend"


def test_a_teardown_in_check_mode(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    before = fabric.attachment(borrower, lease["name"])
    ended = fabric.playbook("teardown.yml", "--check")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    changed = fabric.changes(ended.stdout)
    assert all(changed[name] > 0 for name in (lease["owner"], lease["borrower"])), ended.stdout
    for host in (owner, borrower):
        fabric.output(host, f"ls -d {THERE}")
    after = fabric.attachment(borrower, lease["name"])
    assert (after and after["epoch"]) == (before and before["epoch"])
