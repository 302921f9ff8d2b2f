# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The borrower uses the owner's drive with its own driver, and the owner's software is not in the way."""

from __future__ import annotations

from typing import Any

import evidence
import fabric
import pattern
from testinfra.host import Host

READ = "dd if={node} of=/dev/null bs=1M count=100 iflag=direct status=none"


def test_the_units_run(owner: Host, borrower: Host) -> None:
    for host in (owner, borrower):
        for daemon in ("ownerd", "borrowerd"):
            service = host.service(f"device-lending-{daemon}")
            journal = fabric.output(host, f"journalctl --no-pager -n 30 -u device-lending-{daemon}")
            assert service.is_running, journal
            assert service.is_enabled


def test_the_link_is_ready(owner: Host, borrower: Host, lease: dict[str, Any]) -> None:
    for host, peer in ((owner, lease["borrower"]), (borrower, lease["owner"])):
        links = {link["peer"]: link["state"] for link in fabric.ask(host, "ownerd", "links")}
        assert links[peer] == "ready"


def test_without_an_iommu_the_lease_says_that_it_is_not_fenced(owner: Host, lease: dict[str, Any]) -> None:
    (found,) = fabric.ask(owner, "ownerd", "leases")
    assert [limit for limit in found["limits"] if limit.startswith("not fenced")]


def test_the_function_has_its_own_driver(borrower: Host, attached: dict[str, Any]) -> None:
    assert attached["driver"] == "nvme"
    path = f"/sys/bus/pci/devices/{attached['address']}/driver"
    assert fabric.output(borrower, f"basename $(readlink {path})") == "nvme"


def test_the_owner_has_let_go_of_it(owner: Host, attached: dict[str, Any]) -> None:
    path = f"/sys/bus/pci/devices/{attached['remote_address']}/driver"
    assert fabric.output(owner, f"basename $(readlink {path})") == "ntb_lend"


def test_the_block_device_is_there_in_full(borrower: Host, attached: dict[str, Any]) -> None:
    assert attached["nodes"], attached
    node = attached["nodes"][0]
    assert fabric.is_block(borrower, node)
    assert int(fabric.output(borrower, f"blockdev --getsize64 {node}")) == 1024 << 20


def test_the_controller_says_who_it_is(borrower: Host, attached: dict[str, Any], lease: dict[str, Any]) -> None:
    identity = fabric.output(borrower, f"nvme id-ctrl {attached['nodes'][0]}")
    serials = [line.split(":", 1)[1].strip() for line in identity.splitlines() if line.startswith("sn ")]
    assert serials == [lease["device"]["serial"]]


def test_the_pattern_of_the_owner_is_on_it(borrower: Host, attached: dict[str, Any]) -> None:
    command = f"dd if={attached['nodes'][0]} bs=1M count={pattern.BLOCKS} iflag=direct status=none | sha256sum"
    assert fabric.output(borrower, command).split()[0] == pattern.checksum()


def test_interrupts_arrive_on_its_vectors(borrower: Host, attached: dict[str, Any]) -> None:
    before = fabric.interrupts(borrower, attached["address"])
    assert before, "no interrupt vectors"
    fabric.output(borrower, READ.format(node=attached["nodes"][0]))
    after = fabric.interrupts(borrower, attached["address"])
    assert sum(after.values()) >= sum(before.values()) + 20


def test_no_software_of_the_owner_is_in_the_data_path(
    owner: Host, borrower: Host, attached: dict[str, Any], lease: dict[str, Any]
) -> None:
    """100 MiB are read, and the channel between the kernels carries nothing for it."""
    unmoved = ("requests", "responses", "timeouts", "served", "rejected")
    for attempt in range(3):
        before = fabric.counters(borrower, "borrowerd", lease["owner"]), fabric.counters(
            owner, "ownerd", lease["borrower"]
        )
        fabric.output(borrower, READ.format(node=attached["nodes"][0]))
        after = fabric.counters(borrower, "borrowerd", lease["owner"]), fabric.counters(
            owner, "ownerd", lease["borrower"]
        )
        moved = {
            f"{side} {name}": new[name] - old[name]
            for side, old, new in zip(("borrower", "owner"), before, after)
            for name in unmoved
            if new[name] != old[name]
        }
        # A lease may be renewed meanwhile, which is a message of the daemons and none of the data path.
        if not moved:
            return
    raise AssertionError(f"the channel moved in each of three reads: {moved}")


def test_capabilities(borrower: Host, attached: dict[str, Any]) -> None:
    listing = fabric.output(borrower, f"lspci -vv -s {attached['address']}")
    assert "Non-Volatile memory controller" in listing
    assert "MSI-X: Enable+" in listing
    assert "Express (v2) Endpoint" in listing
    assert "Kernel driver in use: nvme" in listing


def test_what_is_written_can_be_read(borrower: Host, attached: dict[str, Any], lease: dict[str, Any]) -> None:
    node = attached["nodes"][0]
    fabric.output(
        borrower,
        f"printf 'written by the borrower' | dd of={node} bs=512 conv=sync,fsync,notrunc oflag=direct "
        f"seek={pattern.BLOCKS * 2048} count=1 status=none",
    )
    read = fabric.output(
        borrower, f"dd if={node} bs=512 skip={pattern.BLOCKS * 2048} count=1 iflag=direct status=none | head -c 23"
    )
    assert read == "written by the borrower"
    evidence.record(lease["name"], "nvme")


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
