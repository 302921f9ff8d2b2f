# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Nothing of what was installed is left, and the owner has its device."""

from __future__ import annotations

import re
from typing import Any

import fabric
import pytest
from testinfra.host import Host

GONE = (
    "/opt/device-lending",
    "/etc/device-lending",
    "/etc/modprobe.d/device-lending.conf",
    "/etc/modules-load.d/device-lending.conf",
    "/usr/local/bin/devlend",
    "/run/device-lending/ownerd.sock",
    "/etc/udev/rules.d/60-device-lending.rules",
    "/etc/initramfs-tools/hooks/device-lending",
)
# What converge.yml leaves in the kernel log: scenarios that went before have provoked errors.
BEGINS = "teardown begins"


@pytest.mark.parametrize("path", GONE)
def test_files_are_gone(owner: Host, borrower: Host, path: str) -> None:
    assert not owner.file(path).exists
    assert not borrower.file(path).exists


def test_nothing_that_was_brought_is_left(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert fabric.output(host, "find /var/cache -maxdepth 1 -name 'device-lending-*'") == ""


def test_no_units_are_left(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert fabric.output(host, "systemctl list-unit-files --no-legend 'device-lending-*' || true") == ""


def test_no_modules_are_left(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        loaded = fabric.output(host, "lsmod").splitlines()
        assert [line for line in loaded if line.startswith(("ntb", "ntb_lend"))] == []
        assert fabric.output(host, "find /lib/modules -path '*/updates/device-lending*'") == ""


def test_the_owner_has_its_drive(owner: Host, lease: dict[str, Any]) -> None:
    assert lease["device"]["serial"] in fabric.output(owner, "cat /sys/class/nvme/nvme*/serial")


def test_check_mode_on_bare_hosts_predicts_and_changes_nothing(
    owner: Host, borrower: Host, lease: dict[str, Any]
) -> None:
    result = fabric.playbook("site.yml", "--check", "--diff")
    assert result.returncode == 0, result.stdout + result.stderr
    for host in (lease["owner"], lease["borrower"]):
        changed = re.search(rf"^{re.escape(host)}\s.*changed=(\d+)", result.stdout, re.MULTILINE)
        assert changed, result.stdout
        assert int(changed[1]) > 0, f"nothing was predicted for {host}:\n{result.stdout}"
    assert lease["name"] in result.stdout
    for host in (owner, borrower):
        assert fabric.output(host, "lsmod | grep -c ^ntb || true") == "0"
        assert not host.file("/opt/device-lending").exists


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner, BEGINS) == []
    assert fabric.trouble(borrower, BEGINS) == []
