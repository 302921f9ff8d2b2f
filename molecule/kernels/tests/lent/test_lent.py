# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""On these kernels, too, the borrower uses the drive: the owner's data is on it, and what is written is verified."""

from __future__ import annotations

from typing import Any

import evidence
import fabric
import pattern
import pytest
import written
from testinfra.host import Host

TOPOLOGY = fabric.topology()
VERIFY = (
    "fio --name=verify --filename={node} --offset=192m --size=8m --rw=randwrite --bs=4k --direct=1 "
    "--ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1"
)


@pytest.mark.parametrize("host", TOPOLOGY.hosts, ids=lambda host: host.name)
def test_each_host_runs_its_kernel(host: Any) -> None:
    assert fabric.output(fabric.connect(host.name), "uname -r").startswith(host.kernel + ".")


def test_the_pattern_of_the_owner_is_on_it(borrower: Host, attached: dict[str, Any]) -> None:
    command = f"dd if={attached['nodes'][0]} bs=1M count={pattern.BLOCKS} iflag=direct status=none | sha256sum"
    assert fabric.output(borrower, command).split()[0] == pattern.checksum()


def test_its_interrupts_arrive(borrower: Host, attached: dict[str, Any]) -> None:
    assert attached["interrupts"] == "msi-x"
    before = fabric.interrupts(borrower, attached["address"])
    fabric.output(borrower, f"dd if={attached['nodes'][0]} of=/dev/null bs=1M count=32 iflag=direct status=none")
    after = fabric.interrupts(borrower, attached["address"])
    assert sum(after.values()) >= sum(before.values()) + 32


def test_what_is_written_is_verified(borrower: Host, attached: dict[str, Any], lease: dict[str, Any]) -> None:
    fabric.output(borrower, VERIFY.format(node=attached["nodes"][0]))
    fabric.output(borrower, written.write(attached["nodes"][0]))
    assert fabric.output(borrower, written.read(attached["nodes"][0])) == written.checksum()
    evidence.record(lease["name"], "nvme")


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
