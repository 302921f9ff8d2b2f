# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Teardowns that take nothing away: in check mode, and while a host does not give back what it has."""

from __future__ import annotations

import shlex
from typing import Any

import fabric
from testinfra.host import Host

THERE = "/opt/device-lending/current /etc/modules-load.d/device-lending.conf /sys/module/ntb_lend"
UNIT = "uses-the-drive"


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


def test_a_teardown_while_a_device_is_in_use(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    """The borrower keeps what is installed, and so does who lends it."""
    before = fabric.attachment(borrower, lease["name"])
    assert before is not None
    (disk,) = fabric.disks(borrower, before["address"])
    program = f"import os, time; os.open({disk!r}, os.O_RDONLY | os.O_EXCL); time.sleep(600)"
    fabric.output(borrower, f"systemd-run --unit={UNIT} python3 -c {shlex.quote(program)}")
    try:
        fabric.until(lambda: borrower.run(f"fuser {disk}").rc == 0, 30, "the drive is open")
        ended = fabric.playbook("teardown.yml")
        printed = " ".join((ended.stdout + ended.stderr).split())
        assert ended.returncode != 0, printed
        assert f"{before['address']} of host {lease['borrower']} is in use" in printed, printed
        for host in (owner, borrower):
            fabric.output(host, f"ls -d {THERE}")
        after = fabric.attachment(borrower, lease["name"])
        assert after and (after["state"], after["epoch"]) == ("attached", before["epoch"])
    finally:
        fabric.output(borrower, f"systemctl stop {UNIT}; systemctl reset-failed {UNIT} || true")
