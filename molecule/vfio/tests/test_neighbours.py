# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Two devices of one owner in user space: neither reaches what the other is shown, nor anything else."""

from __future__ import annotations

from typing import Any

import fabric
import user_space
from testinfra.host import Host

PAGE = 4096


def test_each_has_a_group(in_user_space: dict[str, Any], engine: dict[str, Any]) -> None:
    assert user_space.group(engine) != user_space.group(in_user_space)


def test_it_reaches_its_own_memory_alone(
    owner: Host, borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any], engine: dict[str, Any]
) -> None:
    first, last = user_space.ranges(borrower, engine["name"])
    victim, end = user_space.ranges(borrower, lease["name"])
    assert last < victim or end < first
    astray = (last + 1, first - PAGE)
    other = (user_space.group(in_user_space), hex(victim))
    seen = user_space.moved(borrower, engine, *other, "--at", *map(hex, astray))
    assert seen == {"own": True, "victim": False, "still": True}
    assert user_space.unrefused(owner, borrower, engine, (victim, *astray)) == set()


def test_the_other_program_goes_on(borrower: Host, in_user_space: dict[str, Any], engine: dict[str, Any]) -> None:
    bench = f"qemu-img bench -w -c 1000000 -d 1 -s 4096 -f raw {user_space.drive(in_user_space)}"
    with user_space.running(borrower, in_user_space, user_space.PROGRAM.format(bench)):
        seen = user_space.moved(borrower, engine)
        assert seen == {"own": True, "victim": None, "still": True}
        assert user_space.is_running(borrower)


def test_the_kernel_has_one_and_user_space_the_other(
    owner: Host, borrower: Host, lease: dict[str, Any], engine: dict[str, Any]
) -> None:
    """What the kernel's driver has mapped the program's device does not reach, and the kernel's device works."""
    disk = user_space.attach_with(borrower, lease, None, "nvme")["nodes"][0]
    first, last = user_space.ranges(borrower, engine["name"])
    astray = (last + 1, first - PAGE)
    seen = user_space.moved(borrower, engine, "--at", *map(hex, astray))
    assert seen == {"own": True, "victim": None, "still": True}
    assert user_space.unrefused(owner, borrower, engine, astray) == set()
    fabric.output(borrower, f"dd if=/dev/zero of={disk} bs=64k count=16 oflag=direct status=none")


def test_it_comes_back_to_the_kernel_whole(borrower: Host, lease: dict[str, Any], in_user_space: dict[str, Any]) -> None:
    """Its driver's memory may be anywhere in the window again."""
    user_space.io(borrower, in_user_space, "write -P 0x66 7M 64k")
    disk = user_space.attach_with(borrower, lease, None, "nvme")["nodes"][0]
    read = f"dd if={disk} bs=64k skip=112 count=1 iflag=direct status=none"
    assert fabric.output(borrower, f"{read} | tr -d '\\146' | wc -c") == "0"
    assert fabric.output(borrower, f"{read} | wc -c") == str(64 << 10)
