# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Devices that disappear, before, while and after they are lent: an error at once, nothing is left, and they come back.

Comes after all other tests of what is lent: reads that are cut off are errors in the kernel log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dma_api
import fabric
import pytest
import reader
from silent import silence
from testinfra.host import Host
from together import together

BEGIN = "devices begin to disappear"
# Seconds after which a device goes that is just being lent: while it is bound and reset, while its driver is bound.
MOMENTS = (0.2, 0.7, 1.5)

Pull = Callable[[Host, str], Callable[[], None]]


@pytest.fixture(scope="module", autouse=True)
def marked(hosts: dict[str, Host]) -> Iterator[None]:
    for host in hosts.values():
        fabric.mark(host, BEGIN)
    yield
    for host in hosts.values():
        fabric.mark(host, fabric.WHOLE_AGAIN)


def remove(owner: Host, address: str) -> Callable[[], None]:
    """Remove a function in the owner's kernel, as before it is unplugged; what brings it back."""
    fabric.output(owner, f"echo 1 >/sys/bus/pci/devices/{address}/remove")
    return partial(fabric.output, owner, "echo 1 >/sys/bus/pci/rescan")


def pull(owner: Host, address: str) -> Callable[[], None]:
    """Let a function be gone before the owner's kernel notices; what brings it back.

    Its root port passes nothing on to it any more; then the kernel removes it, as it does when a slot says that it is empty.
    """
    answer = silence(owner, address)
    back = remove(owner, address)

    def plug() -> None:
        answer()
        back()

    return plug


def whole(borrower: Host, name: str) -> dict[str, Any] | None:
    """The attachment if it is complete."""
    found = fabric.attachment(borrower, name)
    return found if found and found["state"] == "attached" and found["driver"] else None


def absence(lease: dict[str, Any]) -> str:
    """What the owner says of a device that is not there."""
    return f"grant {lease['name']}: host {lease['owner']} has no PCI function {lease['device']['address']}"


def assert_nothing_is_lent(owner: Host, lease: dict[str, Any]) -> None:
    """The owner has no lease of the name any more, and says why."""
    assert lease["name"] not in [row["name"] for row in fabric.ask(owner, "ownerd", "leases")]
    (grant,) = [row for row in fabric.ask(owner, "ownerd", "grants") if row["name"] == lease["name"]]
    assert grant["state"] == "unresolved"
    assert grant["message"].startswith(absence(lease))


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "go", "said"),
    [
        pytest.param("nvme-small", remove, "unbound under a lease", id="removed"),
        pytest.param("nvme", pull, "removed under a lease", id="pulled"),
    ],
)
def test_a_drive_goes_while_it_is_read(hosts: dict[str, Host], name: str, go: Pull, said: str) -> None:
    lease = fabric.declared(name)
    owner, borrower, address = hosts[lease["owner"]], hosts[lease["borrower"]], lease["device"]["address"]
    live = whole(borrower, name)
    assert live is not None
    reader.start(borrower, live["nodes"][0])
    time.sleep(1)
    assert reader.goes_on(borrower)

    come_back = go(owner, address)
    try:
        fabric.until(lambda: not reader.goes_on(borrower), 30, "reading ends with an error")
        function = f"/sys/bus/pci/devices/{live['address']}"
        fabric.until(lambda: not borrower.file(function).exists, 30, "the borrowed function goes")
        reader.stop(borrower)

        def refused() -> bool:
            found = fabric.attachment(borrower, name)
            return found is not None and f"{lease['owner']} refused: {absence(lease)}" in found["message"]

        fabric.until(refused, 30, "the borrower says why it has nothing")
        assert_nothing_is_lent(owner, lease)
        assert f"{address}: {said}: the borrower loses it" in fabric.output(owner, "dmesg")
    finally:
        come_back()
    found = fabric.until(lambda: whole(borrower, name), 120, "the lease is attached again")
    assert found["epoch"] > live["epoch"]
    fabric.output(borrower, f"dd if={found['nodes'][0]} of=/dev/null bs=64k count=4 iflag=direct status=none")


@pytest.mark.long
def test_a_device_goes_before_it_is_lent(hosts: dict[str, Host]) -> None:
    lease = fabric.declared("edu")
    owner, borrower = hosts[lease["owner"]], hosts[lease["borrower"]]
    fabric.output(borrower, "devlend return edu")
    functions = fabric.output(borrower, "ls /sys/bus/pci/devices")
    come_back = remove(owner, lease["device"]["address"])
    try:
        result = borrower.run(f"devlend borrow edu --owner {lease['owner']} --wait 15")
        assert result.rc != 0
        assert f"not attached: edu of {lease['owner']} is" in result.stderr, result.stderr
        assert f"{lease['owner']} refused: {absence(lease)}" in result.stderr, result.stderr
        assert fabric.output(borrower, "ls /sys/bus/pci/devices") == functions
        assert_nothing_is_lent(owner, lease)
    finally:
        come_back()
    fabric.output(borrower, "devlend borrow edu")
    assert dma_api.run(borrower, "streaming", 0) == ""


@pytest.mark.long
def test_a_device_goes_while_it_is_being_lent(hosts: dict[str, Host]) -> None:
    """Meanwhile the owner gives back and borrows another device, over the same bridge."""
    lease, other = fabric.declared("edu"), fabric.declared("nvme-back")
    owner, borrower, address = hosts[lease["owner"]], hosts[lease["borrower"]], lease["device"]["address"]
    assert (other["owner"], other["borrower"]) == (lease["borrower"], lease["owner"])

    def go(moment: float) -> None:
        time.sleep(moment)
        remove(owner, address)()

    for moment in MOMENTS:
        fabric.output(borrower, "devlend return edu")
        together(
            partial(borrower.run, f"timeout 120 devlend borrow edu --owner {lease['owner']}"),
            partial(fabric.output, owner, "timeout 120 devlend return nvme-back"),
            partial(go, moment),
        )
        together(
            partial(fabric.output, borrower, f"timeout 120 devlend borrow edu --owner {lease['owner']}"),
            partial(fabric.output, owner, f"timeout 120 devlend borrow nvme-back --owner {other['owner']}"),
        )
        assert dma_api.run(borrower, "streaming", 0) == ""


def test_no_kernel_complains(hosts: dict[str, Host]) -> None:
    # Reads that are cut off are errors, and reported as such; nothing else may be.
    found = fabric.complaints(hosts, BEGIN)
    assert {name: [line for line in lines if "I/O error" not in line] for name, lines in found.items()} == {
        name: [] for name in hosts
    }
