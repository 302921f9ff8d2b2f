# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""An IOMMU shows whole pages: the page of a small BAR belongs to the lease, or the function is not lent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import fabric
import pytest
from testinfra.host import Host

PAGE = 4096
REST = "ntb_lend: rest of a page"
PAIR = ("0000:06:00.0", "0000:06:00.1")  # two functions with BARs of 256 octets, see lab.yml
REFUSED = "BAR 0 shares its page of memory with another device"


def first_bar(host: Host, address: str) -> tuple[int, int]:
    """The first and the last address of a function's first BAR."""
    first, last, _flags = fabric.output(host, f"head -n 1 /sys/bus/pci/devices/{address}/resource").split()
    return int(first, 16), int(last, 16)


def owned(host: Host) -> list[tuple[int, int]]:
    """What is owned of pages, in the kernel's tree of resources."""
    found = re.findall(rf"([0-9a-f]+)-([0-9a-f]+) : {REST}", fabric.output(host, "cat /proc/iomem"))
    return [(int(first, 16), int(last, 16)) for first, last in found]


def test_the_rest_of_the_page_is_owned(owner: Host) -> None:
    first, last = first_bar(owner, fabric.lease_of(owner, "small")["address"])
    assert last - first + 1 < PAGE
    start = first - first % PAGE
    gaps = [(start, first - 1)] if first > start else []
    assert owned(owner) == [*gaps, (last + 1, start + PAGE - 1)]


@pytest.fixture
def neighbours(owner: Host) -> tuple[str, str]:
    """Two functions whose BARs are in one page: firmware leaves a page between them, so the second is moved."""
    one, other = PAIR
    first, last = first_bar(owner, one)
    directory = f"/sys/bus/pci/devices/{other}"
    move = f"if test -e {directory}/driver; then echo {other} >{directory}/driver/unbind; fi"
    move += f"; setpci -s {other} BASE_ADDRESS_0={last + 1:x}; echo 1 >{directory}/remove; echo 1 >/sys/bus/pci/rescan"
    fabric.output(owner, move)
    assert first_bar(owner, other)[0] == last + 1
    assert first // PAGE == (last + 1) // PAGE
    return one, other


@pytest.fixture
def granted(owner: Host, borrower: Host, neighbours: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """A grant of the first of them."""
    before = fabric.granted(owner)
    grant = {"name": "crowded", "device": {"address": neighbours[0]}, "borrower": before[0]["borrower"]}
    fabric.put(owner, "ownerd", "grants", [grant])
    yield grant
    if fabric.attachment(borrower, grant["name"]):
        fabric.output(borrower, f"devlend return {grant['name']}")
    fabric.put(owner, "ownerd", "grants", before, purge=True)


def test_a_page_with_another_ones_registers_is_not_shown(owner: Host, borrower: Host, granted: dict[str, Any]) -> None:
    before = owned(owner)
    result = borrower.run(f"devlend borrow {granted['name']} --owner node-a --wait 5")
    assert result.rc != 0
    assert REFUSED in result.stderr, result.stderr
    assert owned(owner) == before
