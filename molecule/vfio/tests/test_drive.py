# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrowed drive in user space, by QEMU's NVMe driver: it works, and its lease ends as any does."""

from __future__ import annotations

import json
import shlex
from typing import Any

import evidence
import fabric
import user_space
from testinfra.host import Host

MIB = 1 << 20


def with_kernel(host: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """Have the kernel's driver drive it."""
    return user_space.attach_with(host, lease, None, "nvme")


def with_vfio(host: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """Have it ready for user space again."""
    return user_space.attach_with(host, lease, "vfio-pci", "nvme")


def test_vfio_has_it_and_no_other_driver_had(borrower: Host, lease: dict[str, Any]) -> None:
    attached = fabric.attachment(borrower, lease["name"])
    assert attached is not None
    assert (attached["state"], attached["driver"]) == ("attached", "vfio-pci")
    group = fabric.output(borrower, f"readlink /sys/bus/pci/devices/{attached['address']}/iommu_group").rpartition("/")[
        2
    ]
    assert user_space.group(attached) == f"/dev/vfio/{group}"
    assert "nvme nvme" not in fabric.output(borrower, "dmesg")
    assert fabric.output(borrower, "cat /etc/modules-load.d/device-lending-drivers.conf | grep -v '^#'") == "vfio-pci"
    assert f"/dev/vfio/{group}" in fabric.output(borrower, f"devlend show {lease['name']}")


def test_what_user_space_writes_the_kernel_reads(
    borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]
) -> None:
    user_space.io(
        borrower,
        in_user_space,
        "write -P 0x5a 1M 256k",
        "write -P 0xc3 3M 64k",
        "flush",
        "read -P 0x5a 1M 256k",
        "read -P 0xc3 3M 64k",
    )
    disk = with_kernel(borrower, lease)["nodes"][0]
    for place, octet, size in ((1, 0x5A, 256), (3, 0xC3, 64)):
        read = f"dd if={disk} bs=64k skip={place * 16} count={size // 64} iflag=direct status=none"
        assert fabric.output(borrower, f"{read} | tr -d '\\{octet:03o}' | wc -c") == "0"
        assert fabric.output(borrower, f"{read} | wc -c") == str(size << 10)
    fabric.output(
        borrower, f"head -c {MIB} /dev/zero | tr '\\000' '\\071' | dd of={disk} bs=64k oflag=direct status=none"
    )
    user_space.io(borrower, with_vfio(borrower, lease), "read -P 0x39 0 1M")
    evidence.record(lease["name"], "nvme-vfio")


def test_many_requests_at_once(borrower: Host, in_user_space: dict[str, Any]) -> None:
    # The emulated drive stands still while it moves data over the bridge, and with it its host: not too much at once.
    for words in ("-w", ""):
        what = f"bench {words} -c 200 -d 8 -s 4096"
        fabric.output(borrower, f"{user_space.PROGRAM.format('qemu-img')} {what} -f raw {user_space.drive(in_user_space)}")


def test_its_memory_alone_is_reached(borrower: Host, in_user_space: dict[str, Any]) -> None:
    """The borrower's IOMMU has refused the drive nothing, so what QEMU has mapped is where the drive looks."""
    user_space.io(borrower, in_user_space, "read 0 4k")
    assert "DMAR: [DMA" not in fabric.output(borrower, "dmesg").rpartition("VFIO - User Level")[2]


def test_who_has_it_open_is_named_and_not_disturbed(
    borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]
) -> None:
    node = user_space.group(in_user_space)
    program = f"import time; handle = open({node!r}, 'r+b', buffering=0); time.sleep(600)"
    with user_space.running(borrower, in_user_space, f"python3 -c {shlex.quote(program)}"):
        refused = borrower.run(f"devlend borrow {lease['name']} --driver nvme --json")
        assert refused.rc != 0
        assert "through VFIO" in refused.stdout + refused.stderr
        assert fabric.attachment(borrower, lease["name"])["driver"] == "vfio-pci"


def test_the_borrower_resets_it(borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]) -> None:
    """As vfio-pci does when it is opened: the owner resets it, and restores what that wipes."""
    address = in_user_space["address"]
    assert "flr" in fabric.output(borrower, f"cat /sys/bus/pci/devices/{address}/reset_method")
    user_space.io(borrower, in_user_space, "write -P 0x21 2M 64k")
    command, line = f"setpci -s {address} COMMAND", f"setpci -s {address} CACHE_LINE_SIZE"
    before = fabric.output(borrower, line)
    other = "20" if before != "20" else "10"
    assert fabric.output(borrower, f"{line}={other} && {line}") == other
    # It does not answer yet; then it is as the owner has bound it.
    assert fabric.output(borrower, f"setpci -s {address} CAP_EXP+8.w=8000:8000 && {command}") == "ffff"
    fabric.until(lambda: fabric.output(borrower, command) != "ffff", 30, "it answers")
    assert fabric.output(borrower, line) == before
    disk = with_kernel(borrower, lease)
    fabric.output(borrower, f"echo 1 >/sys/bus/pci/devices/{disk['address']}/reset")
    read = f"dd if={disk['nodes'][0]} bs=64k skip=32 count=1 iflag=direct status=none | tr -d '\\041' | wc -c"
    assert fabric.output(borrower, read) == "0"


def test_a_forced_recall_is_a_fence(
    owner: Host, borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]
) -> None:
    # The drive's data is moved by who runs the owner, which has to answer as well.
    depth = 1 if fabric.debugs() else 2
    bench = f"qemu-img bench -w -c 1000000 -d {depth} -s 4096 -f raw {user_space.drive(in_user_space)}"
    with user_space.running(borrower, in_user_space, user_space.PROGRAM.format(bench)):
        fabric.output(borrower, "sleep 3")
        fabric.output(owner, f"devlend recall {lease['name']} --force")
        disk = fabric.drive(owner, lease["device"]["serial"])
        # Nobody writes there any more.
        read = f"dd if={disk} bs=1M count=8 iflag=direct status=none | sha256sum"
        first = fabric.output(owner, read)
        fabric.output(owner, "sleep 2")
        assert fabric.output(owner, read) == first
        assert user_space.unfenced(fabric.trouble(owner)) == []
    fabric.until(lambda: user_space.has_nothing(borrower), 60, "the device is gone")
    fabric.put(owner, "ownerd", "grants", [{**grant, "hold": False} for grant in fabric.granted(owner)])
    again = with_vfio(borrower, lease)
    user_space.io(borrower, again, "write -P 0x11 0 64k", "read -P 0x11 0 64k")


def test_a_driver_that_is_not_there(borrower: Host, lease: dict[str, Any]) -> None:
    leases = [{**lease, "attach": {"driver": "no-such-driver"}}]
    ended = fabric.playbook("site.yml", "-e", json.dumps({"device_lending_leases": leases}))
    assert ended.returncode != 0
    assert "driver no-such-driver" in " ".join((ended.stdout + ended.stderr).lower().split())
    assert fabric.attachment(borrower, lease["name"])["driver"] == "vfio-pci"
