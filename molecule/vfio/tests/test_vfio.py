# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrowed drive in user space, by QEMU's NVMe driver: it works, and its lease ends as any does."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from typing import Any

import evidence
import fabric
import pytest
from testinfra.host import Host

QEMU = "LD_LIBRARY_PATH=/opt/programs/lib /opt/programs/usr/bin/{}"
MIB = 1 << 20
HOLDER = "group-holder"
# The owner's bridge, which the lab has at this place.
FENCED = re.compile(r"DMAR: \[DMA (Read|Write) NO_PASID\] Request device \[(0000:)?01:00\.0\]")


def wanted(lease: dict[str, Any], driver: str | None) -> dict[str, Any]:
    """The attachment with a driver."""
    return {"name": lease["name"], "owner": lease["owner"], "driver_override": driver}


def drive(attached: dict[str, Any]) -> str:
    """What QEMU calls the drive."""
    return f"nvme://{attached['address']}/1"


def node(attached: dict[str, Any]) -> str:
    """The VFIO group."""
    (group,) = (
        name for name in attached["nodes"] if name.startswith("/dev/vfio/") and name.rpartition("/")[2].isdigit()
    )
    return str(group)


def unfenced(lines: list[str]) -> list[str]:
    """What a kernel complains of, without what its IOMMU has kept from it that came over the bridge.

    A program that is not told of a fence goes on ringing doorbells, and that is what the fence is for.
    """
    others = [line for line in lines if not FENCED.search(line)]
    # The line before faults says that some are handled.
    return [
        line
        for line, after in itertools.zip_longest(others, others[1:], fillvalue="")
        if not fabric.FAULT.search(line) or "DMAR: [DMA" in after
    ]


def io(host: Host, attached: dict[str, Any], *commands: str) -> str:
    """Have qemu-io carry out commands on the drive; what it says."""
    words = " ".join(f"-c {shlex.quote(command)}" for command in commands)
    said = fabric.output(host, f"{QEMU.format('qemu-io')} -f raw {words} {drive(attached)} 2>&1")
    assert "Pattern verification failed" not in said, said
    return said


def attach_with(host: Host, lease: dict[str, Any], driver: str | None) -> dict[str, Any]:
    """Have the drive attached with a driver."""
    fabric.put(host, "borrowerd", "attachments", [wanted(lease, driver)])
    right = driver or "nvme"

    def found() -> dict[str, Any] | None:
        item = fabric.attachment(host, lease["name"])
        return item if item and item["state"] == "attached" and item["driver"] == right else None

    return dict(fabric.until(found, 60, f"the drive is attached with {right}"))


@pytest.fixture
def in_user_space(borrower: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """The attachment, with vfio-pci."""
    return attach_with(borrower, lease, "vfio-pci")


def test_vfio_has_it_and_no_other_driver_had(borrower: Host, lease: dict[str, Any]) -> None:
    attached = fabric.attachment(borrower, lease["name"])
    assert attached is not None
    assert (attached["state"], attached["driver"]) == ("attached", "vfio-pci")
    group = fabric.output(borrower, f"readlink /sys/bus/pci/devices/{attached['address']}/iommu_group").rpartition("/")[
        2
    ]
    assert node(attached) == f"/dev/vfio/{group}"
    assert "nvme nvme" not in fabric.output(borrower, "dmesg")
    assert fabric.output(borrower, "cat /etc/modules-load.d/device-lending-drivers.conf | grep -v '^#'") == "vfio-pci"
    assert f"/dev/vfio/{group}" in fabric.output(borrower, f"devlend show {lease['name']}")


def test_what_user_space_writes_the_kernel_reads(
    borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]
) -> None:
    io(
        borrower,
        in_user_space,
        "write -P 0x5a 1M 256k",
        "write -P 0xc3 3M 64k",
        "flush",
        "read -P 0x5a 1M 256k",
        "read -P 0xc3 3M 64k",
    )
    disk = attach_with(borrower, lease, None)["nodes"][0]
    for place, octet, size in ((1, 0x5A, 256), (3, 0xC3, 64)):
        read = f"dd if={disk} bs=64k skip={place * 16} count={size // 64} iflag=direct status=none"
        assert fabric.output(borrower, f"{read} | tr -d '\\{octet:03o}' | wc -c") == "0"
        assert fabric.output(borrower, f"{read} | wc -c") == str(size << 10)
    fabric.output(
        borrower, f"head -c {MIB} /dev/zero | tr '\\000' '\\071' | dd of={disk} bs=64k oflag=direct status=none"
    )
    io(borrower, attach_with(borrower, lease, "vfio-pci"), "read -P 0x39 0 1M")
    evidence.record(lease["name"], "nvme-vfio")


def test_many_requests_at_once(borrower: Host, in_user_space: dict[str, Any]) -> None:
    # The emulated drive stands still while it moves data over the bridge, and with it its host: not too much at once.
    for words in ("-w", ""):
        what = f"bench {words} -c 200 -d 8 -s 4096"
        fabric.output(borrower, f"{QEMU.format('qemu-img')} {what} -f raw {drive(in_user_space)}")


def test_its_memory_alone_is_reached(borrower: Host, in_user_space: dict[str, Any]) -> None:
    """The borrower's IOMMU has refused the drive nothing, so what QEMU has mapped is where the drive looks."""
    io(borrower, in_user_space, "read 0 4k")
    assert "DMAR: [DMA" not in fabric.output(borrower, "dmesg").rpartition("VFIO - User Level")[2]


def test_who_has_it_open_is_named_and_not_disturbed(
    borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]
) -> None:
    program = f"import time; handle = open({node(in_user_space)!r}, 'r+b', buffering=0); time.sleep(600)"
    fabric.output(borrower, f"systemd-run --unit={HOLDER} python3 -c {shlex.quote(program)}")
    try:
        uses = f"fuser {node(in_user_space)}"
        fabric.until(lambda: borrower.run(uses).rc == 0, 60, "the group is open")
        refused = borrower.run(f"devlend borrow {lease['name']} --driver nvme --json")
        assert refused.rc != 0
        assert "through VFIO" in refused.stdout + refused.stderr
        assert fabric.attachment(borrower, lease["name"])["driver"] == "vfio-pci"
    finally:
        fabric.output(borrower, f"systemctl stop {HOLDER}; systemctl reset-failed {HOLDER} || true")


def test_the_borrower_resets_it(borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]) -> None:
    """As vfio-pci does when it is opened: the owner resets it, and restores what that wipes."""
    address = in_user_space["address"]
    assert "flr" in fabric.output(borrower, f"cat /sys/bus/pci/devices/{address}/reset_method")
    io(borrower, in_user_space, "write -P 0x21 2M 64k")
    command, line = f"setpci -s {address} COMMAND", f"setpci -s {address} CACHE_LINE_SIZE"
    before = fabric.output(borrower, line)
    other = "20" if before != "20" else "10"
    assert fabric.output(borrower, f"{line}={other} && {line}") == other
    # It does not answer yet; then it is as the owner has bound it.
    assert fabric.output(borrower, f"setpci -s {address} CAP_EXP+8.w=8000:8000 && {command}") == "ffff"
    fabric.until(lambda: fabric.output(borrower, command) != "ffff", 30, "it answers")
    assert fabric.output(borrower, line) == before
    disk = attach_with(borrower, lease, None)
    fabric.output(borrower, f"echo 1 >/sys/bus/pci/devices/{disk['address']}/reset")
    read = f"dd if={disk['nodes'][0]} bs=64k skip=32 count=1 iflag=direct status=none | tr -d '\\041' | wc -c"
    assert fabric.output(borrower, read) == "0"


def test_a_forced_recall_is_a_fence(
    owner: Host, borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]
) -> None:
    # The drive's data is moved by who runs the owner, which has to answer as well.
    depth = 1 if fabric.debugs() else 2
    bench = f"{QEMU.format('qemu-img')} bench -w -c 1000000 -d {depth} -s 4096 -f raw {drive(in_user_space)}"
    fabric.output(borrower, f"systemd-run --unit={HOLDER} sh -c {shlex.quote(bench)}")
    try:
        fabric.until(lambda: borrower.run(f"fuser {node(in_user_space)}").rc == 0, 60, "QEMU has the drive")
        fabric.output(borrower, "sleep 3")
        fabric.output(owner, f"devlend recall {lease['name']} --force")
        serial = lease["device"]["serial"]
        disk = fabric.drive(owner, serial)
        # Nobody writes there any more.
        read = f"dd if={disk} bs=1M count=8 iflag=direct status=none | sha256sum"
        first = fabric.output(owner, read)
        fabric.output(owner, "sleep 2")
        assert fabric.output(owner, read) == first
        assert unfenced(fabric.trouble(owner)) == []
    finally:
        fabric.output(borrower, f"systemctl kill --signal=KILL {HOLDER}; systemctl reset-failed {HOLDER} || true")
    fabric.until(
        lambda: not fabric.output(borrower, "ls /sys/bus/pci/devices | grep ^1ff || true"), 60, "the device is gone"
    )
    fabric.put(owner, "ownerd", "grants", [{**grant, "hold": False} for grant in fabric.granted(owner)])
    again = attach_with(borrower, lease, "vfio-pci")
    io(borrower, again, "write -P 0x11 0 64k", "read -P 0x11 0 64k")


def test_a_driver_that_is_not_there(borrower: Host, lease: dict[str, Any]) -> None:
    leases = [{**lease, "attach": {"driver": "no-such-driver"}}]
    ended = fabric.playbook("site.yml", "-e", json.dumps({"device_lending_leases": leases}))
    assert ended.returncode != 0
    assert "driver no-such-driver" in " ".join((ended.stdout + ended.stderr).lower().split())
    assert fabric.attachment(borrower, lease["name"])["driver"] == "vfio-pci"


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    found = fabric.complaints({"node-a": owner, "node-b": borrower})
    assert (unfenced(found["node-a"]), found["node-b"]) == ([], [])
