# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Windows that are neither for DMA nor for BARs show more of the borrower's memory, which is then not copied."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import fabric
import pytest

TOPOLOGY = fabric.topology()
PLACED = (Path(__file__).resolve().parents[2] / "placed.py").read_text(encoding="utf-8")
PAGE = 4096
COUNT = 64


def windows_of(lease: dict[str, Any]) -> tuple[int, ...]:
    """The windows between both hosts of a lease, in MiB."""
    (link,) = TOPOLOGY.links_of(lease["borrower"])
    return link.windows


LEASES = [lease for lease in fabric.leases() if len(windows_of(lease)) > 2]


def shown(lease: dict[str, Any]) -> list[tuple[int, int]]:
    """The memory of the borrower that its free windows show: address and size. The one for DMA begins at 0."""
    (link,) = fabric.ask(fabric.connect(lease["borrower"]), "borrowerd", "links")
    return sorted(
        (window["inbound_base"], window["inbound_size"]) for window in link["windows"] if window["inbound_base"]
    )


def bounced_by_reading(lease: dict[str, Any], low: int, high: int) -> int:
    """Read the start of the drive into pages at these addresses; returns how many octets were copied on their way."""
    host = fabric.connect(lease["borrower"])
    before = fabric.attachment(host, lease["name"])
    node = before["nodes"][0]
    whole = fabric.output(host, f"dd if={node} bs={PAGE} count={COUNT} iflag=direct status=none | sha256sum").split()[0]
    before = fabric.attachment(host, lease["name"])
    assert fabric.output(host, shlex.join(["python3", "-c", PLACED, node, str(COUNT), str(low), str(high)])) == whole
    return int(fabric.attachment(host, lease["name"])["mappings"]["bounced"] - before["mappings"]["bounced"])


@pytest.mark.parametrize("lease", LEASES, ids=lambda lease: lease["name"])
def test_each_free_window_shows_memory_that_no_other_does(lease: dict[str, Any]) -> None:
    regions = shown(lease)
    assert sorted(size >> 20 for _base, size in regions) == sorted(windows_of(lease))[:-2]
    # A window may be less than its BAR, but not by much.
    end = (max(windows_of(lease)) - 1) << 20
    for base, size in regions:
        assert base >= end
        end = base + size
    assert end <= TOPOLOGY.host(lease["borrower"]).memory << 20


@pytest.mark.parametrize("lease", LEASES, ids=lambda lease: lease["name"])
def test_memory_that_a_free_window_shows_is_used_as_it_is(lease: dict[str, Any]) -> None:
    for base, size in shown(lease):
        assert bounced_by_reading(lease, base, base + size) < COUNT * PAGE // 2


@pytest.mark.parametrize("lease", LEASES, ids=lambda lease: lease["name"])
def test_memory_that_no_window_shows_is_copied(lease: dict[str, Any]) -> None:
    base, size = shown(lease)[-1]
    memory = TOPOLOGY.host(lease["borrower"]).memory << 20
    assert bounced_by_reading(lease, base + size, memory) >= COUNT * PAGE
