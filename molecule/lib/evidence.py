# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a scenario has seen work: a line for each device whose data moved, of which docs/matrix.md is made."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import fabric

from lab.instance import Instance
from lab.topology import Link, Topology

RECORDS = fabric.CHECKOUT / ".build" / "matrix"
SMALL = 256  # MiB


@dataclass(frozen=True)
class Record:
    """A device that was lent and did its work, where it was, and how the daemons say that it ran."""

    scenario: str
    device: str
    kernel: str  # the series of the borrower's, where the driver runs
    release: str
    bridge: str
    owner_iommu: str
    borrower_iommu: str
    interrupts: str
    dma: str
    mappings: dict[str, int]


def bridge_kind(link: Link) -> str:
    """One word for a bridge: its family, and what its windows lack."""
    if len(link.windows) == 1:
        return f"{link.bridge}-one"
    return f"{link.bridge}-small" if max(link.windows) <= SMALL else link.bridge


def link_between(topology: Topology, owner: str, borrower: str, ntb: str) -> Link:
    """The link behind a bridge function of the borrower."""
    for link in topology.links_of(borrower):
        if link.peer(borrower) == owner and topology.ntb_address(borrower, link) == ntb:
            return link
    raise AssertionError(f"{borrower} has no bridge to {owner} at {ntb}")


def _attachment(topology: Topology, name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Who borrows a lease, its attachment and the link it is on."""
    for host in topology.hosts:
        connection = fabric.connect(host.name)
        found = fabric.attachment(connection, name)
        if found is not None:
            assert found["state"] == "attached", found
            links = [link for link in fabric.ask(connection, "borrowerd", "links") if link["peer"] == found["owner"]]
            assert len(links) == 1, f"{host.name} has {len(links)} links to {found['owner']}"
            return host.name, found, links[0]
    raise AssertionError(f"no host has borrowed {name}")


def record(lease_name: str, device: str) -> None:
    """Say that data moved correctly over the borrowed device of a lease; `device` is its row of the table.

    To be called while it is borrowed, after all else. The table is of Debian's kernels.
    """
    if fabric.debugs():
        return
    scenario = os.environ.get("MOLECULE_SCENARIO_NAME")
    assert scenario, "MOLECULE_SCENARIO_NAME is not set: evidence is recorded by Molecule scenarios only"
    lab = Instance(fabric.STATE)
    topology = lab.topology
    borrower, attached, link = _attachment(topology, lease_name)
    owner = attached["owner"]
    entry = Record(
        scenario=scenario,
        device=device,
        kernel=lab.series(borrower),
        release=lab.data["kernels"][borrower],
        bridge=bridge_kind(link_between(topology, owner, borrower, link["ntb"])),
        owner_iommu=topology.host(owner).iommu,
        borrower_iommu=topology.host(borrower).iommu,
        interrupts=attached["interrupts"],
        dma=link["dma"],
        mappings=attached["mappings"],
    )
    RECORDS.mkdir(parents=True, exist_ok=True)
    with open(RECORDS / f"{scenario}.jsonl", "a", encoding="utf-8") as handle:
        handle.write(json.dumps(asdict(entry)) + "\n")
