# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A file system on a borrowed drive is in fstab: it goes in time when the drive does, and comes back with it by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import fabric
import pytest
from boots import reboot
from testinfra.host import Host

from tools import console

PAGE = (fabric.CHECKOUT / "docs/boot.md").read_text(encoding="utf-8")
FSTAB = next(block.text.strip() for block in console.blocks(PAGE) if block.text.startswith("UUID="))
PLACE = "/mnt/borrowed"
UNIT = "mnt-borrowed.mount"
LOAD = "load-on-borrowed"
TEXT = "kept over all reboots"


@pytest.fixture(scope="module", autouse=True)
def in_fstab(owner: Host, borrower: Host, lease: dict[str, Any], attached: dict[str, Any]) -> Iterator[None]:
    """As docs/boot.md has it."""
    for host in (owner, borrower):
        fabric.mark(host, "boot begins")
    node = attached["nodes"][0]
    fabric.output(borrower, f"mkfs.ext4 -qF {node} && udevadm settle")
    identity = fabric.output(borrower, f"blkid -o value -s UUID {node}")
    unit = f"device-lending-attached@{lease['name']}.service"
    line = re.sub(r"^UUID=\S+  /data ", f"UUID={identity} {PLACE} ", FSTAB).replace("@scratch.", f"@{lease['name']}.")
    assert f"requires={unit}," in line
    fabric.output(borrower, f"echo '{line}' >>/etc/fstab")
    fabric.output(borrower, f"mkdir -p {PLACE} && systemctl daemon-reload && systemctl enable --now {unit}")
    fabric.until(lambda: borrower.run(f"mountpoint -q {PLACE}").rc == 0, 60, "the file system is mounted")
    fabric.output(borrower, f"echo '{TEXT}' >{PLACE}/file && sync")
    yield
    fabric.output(borrower, f"systemctl disable --now {unit} && sed -i '\\|{PLACE}|d' /etc/fstab")
    fabric.output(borrower, "systemctl daemon-reload")
    for host in (owner, borrower):
        fabric.mark(host, fabric.WHOLE_AGAIN)


@pytest.fixture
def load(borrower: Host) -> None:
    """Something writes to the file system, which systemd stops before it is unmounted."""
    fabric.until(lambda: kept(borrower), 240, "the file system is mounted")
    write = f"while :; do dd if=/dev/urandom of={PLACE}/load bs=64k count=8 oflag=sync status=none; done"
    borrower.run(f"systemctl stop {LOAD}; systemctl reset-failed {LOAD}")
    fabric.output(
        borrower, f"systemd-run --unit={LOAD} --property=RequiresMountsFor={PLACE} /bin/sh -c '{write}'"
    )


def kept(borrower: Host) -> bool:
    """Whether the file is where it was."""
    try:
        found = borrower.run(f"systemctl is-active --quiet {UNIT} && cat {PLACE}/file")
    except RuntimeError:  # the host is not there yet
        return False
    return found.rc == 0 and found.stdout.strip() == TEXT


def errors(host: Host) -> list[str]:
    """What the kernel of a host says against its drives and file systems since the tests began, or since it has booted."""
    lines = fabric.output(host, "dmesg").rpartition("boot begins")[2].splitlines()
    return [line for line in lines if fabric.TROUBLE.search(line) or "EXT4-fs error" in line or "EXT4-fs warning" in line]


@pytest.mark.usefixtures("load")
def test_a_recall_unmounts_in_time(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    fabric.output(owner, f"devlend recall {lease['name']}")
    assert borrower.run(f"mountpoint -q {PLACE}").rc != 0
    assert errors(borrower) == []
    fabric.put(owner, "ownerd", "grants", fabric.granted(owner))
    fabric.until(lambda: kept(borrower), 120, "the file system is mounted again")


@pytest.mark.usefixtures("load")
def test_another_name_unmounts_nothing(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    old, new = lease["name"], "another-name"
    mounted = fabric.output(borrower, f"stat -c %d {PLACE}")
    (grant,) = [found for found in fabric.granted(owner) if found["name"] == old]
    for name, formerly in ((new, old), (old, new)):
        fabric.put(owner, "ownerd", "grants", [{**grant, "name": name, "formerly": formerly}])
        fabric.put(borrower, "borrowerd", "attachments", [{"name": name, "owner": lease["owner"], "formerly": formerly}])
        assert fabric.attachment(borrower, name)["state"] == "attached"
        assert fabric.attachment(borrower, formerly) is None
        fabric.output(borrower, f"devlend wait {formerly} --timeout 5")  # as the unit of the old name does
        fabric.output(borrower, f"sleep 3; systemctl is-active device-lending-attached@{old} {UNIT} {LOAD}")
        assert kept(borrower)
        assert fabric.output(borrower, f"stat -c %d {PLACE}") == mounted
        assert fabric.lease_of(owner, name)["state"] == "active"
    assert errors(owner) == []
    assert errors(borrower) == []


@pytest.mark.usefixtures("load")
def test_the_borrower_reboots(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    epoch = fabric.lease_of(owner, lease["name"])["epoch"]
    reboot(borrower)
    fabric.until(lambda: kept(borrower), 240, "the file system is mounted again")
    said = fabric.output(owner, "journalctl --boot --unit=device-lending-ownerd --output=cat --lines=50")
    assert f"epoch {epoch}: released by {lease['borrower']}" in said
    assert errors(owner) == []
    assert errors(borrower) == []


@pytest.mark.usefixtures("load")
def test_the_owner_reboots(owner: Host, borrower: Host) -> None:
    reboot(owner)
    fabric.until(lambda: kept(borrower), 240, "the file system is mounted again")
    assert errors(owner) == []
    assert errors(borrower) == []


@pytest.mark.usefixtures("load")
def test_both_reboot(owner: Host, borrower: Host) -> None:
    reboot(owner, borrower)
    fabric.until(lambda: kept(borrower), 240, "the file system is mounted again")
    assert errors(owner) == []
    assert errors(borrower) == []
