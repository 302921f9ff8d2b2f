# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Two devices of one owner in user space: neither reaches what the other is shown, nor anything else."""

from __future__ import annotations

import re
from typing import Any

import fabric
import user_space
from testinfra.host import Host

PAGE = 4096


def refused(host: Host) -> list[int]:
    """The addresses to which the owner's IOMMU has not let it write."""
    address = user_space.ENGINE["device"]["address"].removeprefix("0000:")
    said = rf"\[DMA Write NO_PASID\] Request device \[(?:0000:)?{re.escape(address)}\] fault addr (0x[0-9a-f]+)"
    return [int(found, 16) for found in re.findall(said, fabric.output(host, "dmesg"))]


def test_each_has_a_group(borrower: Host, in_user_space: dict[str, Any], engine: dict[str, Any]) -> None:
    assert user_space.group(engine) != user_space.group(in_user_space)


def test_it_reaches_its_own_memory_alone(
    owner: Host, borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any], engine: dict[str, Any]
) -> None:
    first, last = user_space.ranges(borrower, user_space.ENGINE["name"])
    victim, end = user_space.ranges(borrower, lease["name"])
    # A program says where, and both may say the same at other times: not now.
    assert last < victim or end < first
    astray = [last + 1, first - PAGE]
    seen = user_space.moved(
        borrower,
        *(user_space.group(engine), engine["address"], hex(first), user_space.group(in_user_space), hex(victim)),
        *("--at", *map(hex, astray)),
    )
    assert seen == {"own": True, "victim": False, "still": True}
    assert {victim, *astray} <= set(refused(owner))


def test_the_other_program_goes_on(borrower: Host, in_user_space: dict[str, Any], engine: dict[str, Any]) -> None:
    first, _last = user_space.ranges(borrower, user_space.ENGINE["name"])
    bench = f"qemu-img bench -w -c 1000000 -d 1 -s 4096 -f raw {user_space.drive(in_user_space)}"
    with user_space.running(borrower, in_user_space, user_space.PROGRAM.format(bench)):
        seen = user_space.moved(borrower, user_space.group(engine), engine["address"], hex(first))
        assert seen == {"own": True, "victim": None, "still": True}
        assert user_space.is_running(borrower)


def test_the_kernel_has_one_and_user_space_the_other(
    borrower: Host, lease: dict[str, Any], engine: dict[str, Any]
) -> None:
    """What the kernel's driver has mapped the program's device does not reach, and the kernel's device works."""
    disk = user_space.attach_with(borrower, lease, None, "nvme")["nodes"][0]
    first, last = user_space.ranges(borrower, user_space.ENGINE["name"])
    group, address = user_space.group(engine), engine["address"]
    seen = user_space.moved(borrower, group, address, hex(first), "--at", hex(last + 1), hex(first - PAGE))
    assert seen == {"own": True, "victim": None, "still": True}
    fabric.output(borrower, f"dd if=/dev/zero of={disk} bs=64k count=16 oflag=direct status=none")


def test_it_comes_back_to_the_kernel_whole(borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]) -> None:
    """Its driver's memory may be anywhere in the window again."""
    user_space.io(borrower, in_user_space, "write -P 0x66 7M 64k")
    disk = user_space.attach_with(borrower, lease, None, "nvme")["nodes"][0]
    read = f"dd if={disk} bs=64k skip=112 count=1 iflag=direct status=none"
    assert fabric.output(borrower, f"{read} | tr -d '\\146' | wc -c") == "0"
    assert fabric.output(borrower, f"{read} | wc -c") == str(64 << 10)
