# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A reserved drive never has its own driver over a boot, also where that is in the initramfs; given up, it has."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fabric
import kexec
import pytest
from boots import reboot, restart_by_kexec
from testinfra.host import Host

HELD = "/var/lib/device-lending/initramfs"
REBUILDS = "device-lending-initramfs.service"


def put(owner: Host, name: str, *, reserve: bool) -> None:
    """Have the grant of a lease reserve its device, or no longer."""
    grants = [{**grant, "reserve": reserve} if grant["name"] == name else grant for grant in fabric.granted(owner)]
    fabric.put(owner, "ownerd", "grants", grants)


def grant_of(owner: Host, name: str) -> dict[str, Any]:
    """A grant as its owner's daemon tells it."""
    return next(grant for grant in fabric.ask(owner, "ownerd", "grants") if grant["name"] == name)


def wait_for_initramfs(owner: Host, *, holds: bool) -> None:
    """Wait until the initramfs is made anew."""
    test = f"grep -q '[0-9]' {HELD}" if holds else f"test -e {HELD} && ! grep -q . {HELD}"
    command = f"! systemctl is-active -q {REBUILDS} && {test}"
    fabric.until(lambda: owner.run(command).rc == 0, 900, "the initramfs is made anew")


def in_initramfs(owner: Host) -> list[str]:
    """What of the reservations is in the initramfs of the running kernel.

    Debian copies all rules of udev there, ours too, which does nothing without these.
    """
    listed = fabric.output(owner, 'lsinitramfs "/boot/initrd.img-$(uname -r)"').splitlines()
    return [line for line in listed if line.startswith(("etc/device-lending", "conf/conf.d/device-lending"))]


def had_its_driver(owner: Host, address: str) -> bool:
    """Whether the driver of NVMe has taken a function since the boot."""
    return f"pci function {address}" in fabric.output(owner, "dmesg | grep 'nvme nvme' || :")


def attached_again(borrower: Host, name: str) -> None:
    """Wait until the borrower has the device."""
    fabric.until(
        lambda: (fabric.attachment(borrower, name) or {}).get("state") == "attached", 240, "the device is attached"
    )


@pytest.fixture(scope="module")
def address(owner: Host, borrower: Host, lease: dict[str, Any]) -> Iterator[str]:
    """The function of the lease, reserved, on an owner whose initramfs loads the driver of NVMe."""
    for host in (owner, borrower):
        fabric.mark(host, "boot begins")
    found = str(grant_of(owner, lease["name"])["address"])
    fabric.output(owner, f"printf %s {shlex.quote(Path(kexec.__file__).read_text(encoding='utf-8'))} >/root/kexec.py")
    fabric.output(owner, "cp /etc/initramfs-tools/modules /root/modules && echo nvme >>/etc/initramfs-tools/modules")
    put(owner, lease["name"], reserve=True)
    fabric.until(lambda: grant_of(owner, lease["name"])["reserved"], 60, "the device is reserved")
    wait_for_initramfs(owner, holds=True)
    yield found
    put(owner, lease["name"], reserve=False)
    fabric.output(owner, f"cp /root/modules /etc/initramfs-tools/modules; flock {HELD}.lock update-initramfs -u -k all")
    for host in (owner, borrower):
        fabric.mark(host, fabric.WHOLE_AGAIN)


def test_the_initramfs_knows_of_it(owner: Host, address: str) -> None:
    listed = in_initramfs(owner)
    assert f"etc/device-lending/reserved.d/{address}" in listed
    assert "etc/device-lending/reserve" in listed and "conf/conf.d/device-lending" in listed


def test_its_driver_does_not_get_it_from_an_initramfs_that_does_not_know_of_it(
    owner: Host, borrower: Host, lease: dict[str, Any], address: str
) -> None:
    reboot(owner)
    attached_again(borrower, lease["name"])
    assert not had_its_driver(owner, address)
    assert grant_of(owner, lease["name"])["reserved"]
    said = fabric.output(owner, "journalctl --boot --unit=device-lending-reserve --output=cat")
    assert "Failed" not in said, said


def test_nor_from_one_that_loads_it(owner: Host, borrower: Host, lease: dict[str, Any], address: str) -> None:
    restart_by_kexec(owner)
    attached_again(borrower, lease["name"])
    assert owner.run("grep -q '^nvme ' /proc/modules").rc == 0, "the initramfs was to load the driver"
    assert not had_its_driver(owner, address)


def test_while_nobody_borrows_it_it_stays_so(owner: Host, borrower: Host, lease: dict[str, Any], address: str) -> None:
    wanted = [{"name": lease["name"], "owner": lease["owner"]}]
    fabric.put(borrower, "borrowerd", "attachments", [], purge=True)
    try:
        fabric.until(lambda: not fabric.lease_of(owner, lease["name"]), 60, "the device is back")
        assert fabric.output(owner, f"readlink /sys/bus/pci/devices/{address}/driver").endswith("/ntb_lend")
        restart_by_kexec(owner)
        fabric.until(lambda: grant_of(owner, lease["name"])["reserved"], 240, "the device is reserved")
        assert fabric.disks(owner, address) == []
        assert not had_its_driver(owner, address)
    finally:
        fabric.put(borrower, "borrowerd", "attachments", wanted)
    attached_again(borrower, lease["name"])


def test_given_up_it_has_its_driver_at_the_next_boot(
    owner: Host, borrower: Host, lease: dict[str, Any], address: str
) -> None:
    wanted = [{"name": lease["name"], "owner": lease["owner"]}]
    fabric.put(borrower, "borrowerd", "attachments", [], purge=True)
    try:
        put(owner, lease["name"], reserve=False)
        native = f"readlink /sys/bus/pci/devices/{address}/driver | grep -q '/nvme$'"
        fabric.until(lambda: owner.run(native).rc == 0, 60, "the device has its own driver")
        wait_for_initramfs(owner, holds=False)
        assert in_initramfs(owner) == []
        restart_by_kexec(owner)
        assert had_its_driver(owner, address)
    finally:
        fabric.put(borrower, "borrowerd", "attachments", wanted)
    attached_again(borrower, lease["name"])
