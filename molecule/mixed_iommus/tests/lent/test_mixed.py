# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Drives lent between hosts with different IOMMUs, and to one without: data moves, and interrupts come straight."""

from __future__ import annotations

from typing import Any

import evidence
import fabric
import pattern
import pytest
import written

TOPOLOGY = fabric.topology()
CHUNKS = pattern.BLOCK >> 16
# What a lease lacks for being contained, by its owner's IOMMU: the lab's AMD one does not remap interrupts.
MISSING = {"none": "not fenced", "amd": "interrupts are not isolated"}


@pytest.fixture(scope="module", params=fabric.leases(), ids=lambda lease: lease["name"])
def mixed(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each lease of the lab: its hosts have different IOMMUs."""
    return request.param


@pytest.fixture
def found(mixed: dict[str, Any]) -> dict[str, Any]:
    """Its attachment, which must be complete."""
    found = fabric.attachment(fabric.connect(mixed["borrower"]), mixed["name"])
    assert found is not None
    assert found["state"] == "attached", found
    return found


def test_each_side_uses_the_iommu_it_has(mixed: dict[str, Any]) -> None:
    kinds = {host.name: host.iommu for host in TOPOLOGY.hosts}
    owner, borrower = (fabric.connect(mixed[role]) for role in ("owner", "borrower"))
    (lease,) = [lease for lease in fabric.ask(owner, "ownerd", "leases") if lease["name"] == mixed["name"]]
    assert lease["contained"] is (kinds[mixed["owner"]] == "intel")
    for kind, missing in MISSING.items():
        assert any(limit.startswith(missing) for limit in lease["limits"]) is (kind == kinds[mixed["owner"]])
    (link,) = [link for link in fabric.ask(borrower, "borrowerd", "links") if link["peer"] == mixed["owner"]]
    assert link["dma"] == ("direct" if kinds[mixed["borrower"]] == "none" else "iommu")


def test_data_moves_and_interrupts_arrive(mixed: dict[str, Any], found: dict[str, Any]) -> None:
    borrower = fabric.connect(mixed["borrower"])
    node = found["nodes"][0]
    # With remapping the message is an index into the NTB function's table, without it a vector: both cross the bridge.
    assert found["interrupts"] == "msi-x"
    before = sum(fabric.interrupts(borrower, found["address"]).values())
    command = f"dd if={node} bs=64k count={CHUNKS} iflag=direct status=none | sha256sum"
    assert fabric.output(borrower, command).split()[0] == pattern.checksum(1)
    assert sum(fabric.interrupts(borrower, found["address"]).values()) >= before + CHUNKS
    fabric.output(borrower, written.write(node))
    assert fabric.output(borrower, written.read(node)) == written.checksum()
    evidence.record(mixed["name"], "nvme")


def test_no_kernel_complains() -> None:
    trouble = {host.name: fabric.trouble(fabric.connect(host.name)) for host in TOPOLOGY.hosts}
    assert trouble == {host.name: [] for host in TOPOLOGY.hosts}
