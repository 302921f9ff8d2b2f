# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Both hosts have IOMMUs: data moves, and a lent device reaches only what its borrower has mapped for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import evidence
import fabric
import pattern
import pytest
import written
from testinfra.host import Host

NTB = "01:00.0"


def faults(host: Host, function: str) -> list[str]:
    """What the IOMMU of a host has refused to a function. Newer kernels name its domain, too."""
    pattern_ = re.compile(rf"DMAR: .*Request device \[(?:0000:)?{re.escape(function)}\] fault")
    return [line for line in fabric.output(host, "dmesg").splitlines() if pattern_.search(line)]


@pytest.fixture(scope="module")
def probe(borrower: Host) -> dict[str, Any]:
    """The attachment of the device that does DMA wherever one wants."""
    found = fabric.attachment(borrower, "probe")
    assert found is not None
    assert found["state"] == "attached", found
    return found


def test_both_bridges_are_behind_an_iommu(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        assert [link["iommu"] for link in fabric.ask(host, "ownerd", "links")] == [True]


def test_the_borrower_maps_with_its_own_iommu(borrower: Host, attached: dict[str, Any]) -> None:
    (link,) = json.loads(fabric.output(borrower, "devlend links --json"))["links"]
    assert link["dma"] == "iommu"
    assert 0 < link["space"]["free"] < link["space"]["size"]


def test_devices_are_reported_as_contained(owner: Host) -> None:
    assert fabric.lease_of(owner, "scratch-nvme")["contained"] is True
    assert fabric.lease_of(owner, "probe")["contained"] is True
    assert not [limit for limit in fabric.lease_of(owner, "probe")["limits"] if limit.startswith("not fenced")]


def test_a_device_that_shares_its_group_with_one_of_the_owners_is_not(owner: Host) -> None:
    assert fabric.lease_of(owner, "neighbour")["contained"] is False
    assert "0000:04:00.0: reaches more than the window" in fabric.output(owner, "dmesg")


def test_the_pattern_of_the_owner_is_on_it(borrower: Host, attached: dict[str, Any]) -> None:
    command = f"dd if={attached['nodes'][0]} bs=1M count=2 iflag=direct status=none | sha256sum"
    assert fabric.output(borrower, command).split()[0] == pattern.checksum(2)


def test_what_is_written_can_be_read(borrower: Host, attached: dict[str, Any]) -> None:
    fabric.output(borrower, written.write(attached["nodes"][0]))
    assert fabric.output(borrower, written.read(attached["nodes"][0])) == written.checksum()


def test_random_writes_are_verified(borrower: Host, attached: dict[str, Any], lease: dict[str, Any]) -> None:
    fabric.output(
        borrower,
        f"fio --name=verify --filename={attached['nodes'][0]} --offset=200m --size=128k --rw=randwrite --bs=4k "
        "--direct=1 --ioengine=libaio --iodepth=8 --verify=crc32c --verify_fatal=1",
    )
    evidence.record(lease["name"], "nvme")


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []


@pytest.mark.parametrize("action", ["write", "read"])
def test_the_owners_memory_cannot_be_reached(
    owner: Host, borrower: Host, probe: dict[str, Any], page: Callable[[Host], int], action: str
) -> None:
    address = page(owner)
    function = probe["remote_address"].removeprefix("0000:")
    before = len(faults(owner, function))
    fabric.output(borrower, f"python3 /root/edu.py {probe['address']} {action} {address:#x}")
    assert fabric.output(owner, "python3 /root/page.py look") == "unchanged"
    assert len(faults(owner, function)) > before


@pytest.mark.parametrize("action", ["write", "read"])
def test_memory_the_borrower_has_not_mapped_cannot_be_reached(
    owner: Host, borrower: Host, probe: dict[str, Any], page: Callable[[Host], int], action: str
) -> None:
    said = re.findall(
        rf"{re.escape(probe['remote_address'])}: reaches the window at (0x[0-9a-f]+)", fabric.output(owner, "dmesg")
    )
    address = int(said[-1], 16) + page(borrower)
    before = len(faults(borrower, NTB))
    fabric.output(borrower, f"python3 /root/edu.py {probe['address']} {action} {address:#x}")
    assert fabric.output(borrower, "python3 /root/page.py look") == "unchanged"
    assert len(faults(borrower, NTB)) > before
