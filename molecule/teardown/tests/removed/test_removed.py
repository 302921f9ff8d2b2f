# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Nothing of what was installed is left, and the owner has its device."""

from __future__ import annotations

import json
from typing import Any

import fabric
import pytest
from testinfra.host import Host

GONE = (
    "/opt/device-lending",
    "/etc/device-lending",
    "/etc/modprobe.d/device-lending.conf",
    "/etc/modules-load.d/device-lending.conf",
    "/etc/modules-load.d/device-lending-drivers.conf",
    "/usr/local/bin/devlend",
    "/run/device-lending/ownerd.sock",
    "/etc/udev/rules.d/60-device-lending.rules",
    "/etc/initramfs-tools/hooks/device-lending",
)
ENFORCED = "/sys/module/module/parameters/sig_enforce"
# On the build host.
KEY = {"key": "/root/lending.key", "certificate": "/root/lending.pem"}
# What converge.yml leaves in the kernel log: scenarios that went before have provoked errors.
BEGINS = "teardown begins"


@pytest.mark.parametrize("path", GONE)
def test_files_are_gone(owner: Host, borrower: Host, path: str) -> None:
    assert not owner.file(path).exists
    assert not borrower.file(path).exists


def test_nothing_that_was_brought_is_left(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower, fabric.connect("builder")):
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
    changed = fabric.changes(result.stdout)
    for host in (lease["owner"], lease["borrower"]):
        assert host in changed, result.stdout
        assert changed[host] > 0, f"nothing was predicted for {host}:\n{result.stdout}"
    assert lease["name"] in result.stdout
    for host in (owner, borrower):
        assert fabric.output(host, "lsmod | grep -c ^ntb || true") == "0"
        assert not host.file("/opt/device-lending").exists


@pytest.fixture
def enforcing(owner: Host) -> None:
    """The owner's kernel takes no more modules but those whose signature it trusts; nothing but a boot ends that."""
    fabric.output(owner, f"echo 1 >{ENFORCED}")


def test_a_host_that_enforces_signatures_is_told_before_anything_is_changed(
    enforcing: None, lease: dict[str, Any]
) -> None:
    said = fabric.refused("site.yml", "--tags", "preflight")
    assert f"{lease['owner']}: module signatures are enforced, so the kernel will refuse a module that nobody signed" in said
    assert f"{lease['borrower']}: module signatures" not in said


def test_a_key_that_is_not_enrolled_is_told_with_what_enrols_it(enforcing: None, lease: dict[str, Any]) -> None:
    builder = fabric.connect("builder")
    make = "openssl req -new -x509 -newkey rsa:2048 -nodes -subj '/CN=somebody/' -keyout {key} -out {certificate}"
    fabric.output(builder, make.format(**KEY))
    try:
        options = {f"device_lending_kmod_signing_{name}": path for name, path in KEY.items()}
        said = fabric.refused("site.yml", "--tags", "preflight", "-e", json.dumps(options))
    finally:
        fabric.output(builder, "rm {key} {certificate}".format(**KEY))
    assert "this host does not trust the certificate of somebody that the build host builder signs with" in said
    assert "mokutil --import" in said


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner, BEGINS) == []
    assert fabric.trouble(borrower, BEGINS) == []
